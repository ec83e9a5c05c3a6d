"""A static site in a bucket; it can only be watched so far."""
