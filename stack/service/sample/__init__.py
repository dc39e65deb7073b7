"""A page that shows how pictures and events are meant to be used."""
