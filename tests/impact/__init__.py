"""Stage 2: rules.toml, the matcher, and what changes touch."""
