"""The car rental API: which cars there are, and who has them when."""
