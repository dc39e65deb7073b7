"""Product lists, product detail and product update."""
