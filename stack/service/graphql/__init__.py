"""The catalogue as a graph: one request for what a page shows, within limits."""
