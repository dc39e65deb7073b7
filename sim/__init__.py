"""Models of the stack: pure Python and NumPy, no I/O but reading a scenario or a price book."""
