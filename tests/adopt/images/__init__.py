"""What goes into images."""
