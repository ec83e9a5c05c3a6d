"""rules.toml becomes Rules, or a list of everything that is wrong with it. Pure."""
