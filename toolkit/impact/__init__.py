"""Stage 2: what do the changes touch? The matcher, and changes x rules -> impact. Pure."""
