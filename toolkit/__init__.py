"""toolkit: which parts of a system are out of date, and the smallest deploy that fixes it."""

__version__ = "0.1.0"
