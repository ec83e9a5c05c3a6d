"""Which stacks there are."""
