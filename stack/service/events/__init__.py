"""What shoppers do, taken in and counted."""
