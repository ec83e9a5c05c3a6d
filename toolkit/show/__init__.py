"""The model as text, table and JSON. Pure."""
