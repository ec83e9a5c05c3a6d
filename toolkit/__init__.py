"""toolkit: what of a system is out of date, and the narrowest deploy that mends it."""

__version__ = "0.1.0"
