"""Stage 3: what is the least to do? Narrowing, ordering, estimates and the "because" lines.
Pure.
"""
