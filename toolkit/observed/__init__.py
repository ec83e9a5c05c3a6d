"""What a command was observed to look up, held against the rules. Pure."""
