"""Registration, login and access tokens."""
