"""The favourites of the user who asks."""
