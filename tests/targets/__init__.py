"""The contract of the kinds."""
