"""What stacks really become: synthesized, compared, predicted. Pure."""
