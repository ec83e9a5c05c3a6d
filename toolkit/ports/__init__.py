"""One file a foreign system. The only place with effects."""
