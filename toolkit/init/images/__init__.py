"""Dockerfiles: what goes into an image, and so what makes its app due."""
