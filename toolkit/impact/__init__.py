"""Stage 2: what do the changes touch? rules.toml, the matcher, and changes x rules -> impact.
Pure.
"""
