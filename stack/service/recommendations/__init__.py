"""Products that go with a product."""
