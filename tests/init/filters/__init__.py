"""Path filters of other tools, said as rules."""
