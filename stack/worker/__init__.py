"""Background processes beside the API."""
