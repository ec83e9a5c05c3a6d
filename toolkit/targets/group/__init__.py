"""Several targets under one name."""
