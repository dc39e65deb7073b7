"""Background jobs, asked for and looked after."""
