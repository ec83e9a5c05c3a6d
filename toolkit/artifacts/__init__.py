"""What is built, and by what."""
