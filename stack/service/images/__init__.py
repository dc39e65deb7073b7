"""Uploaded images and product pictures."""
