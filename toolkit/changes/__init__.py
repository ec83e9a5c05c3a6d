"""Stage 1: what changed? Git's bytes become changes, against a base."""
