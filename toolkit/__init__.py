"""toolkit: which parts of a system are out of date, and the smallest deploy that fixes it."""

__version__ = "0.1.0"
DISTRIBUTION = "deploy-toolkit"
"""Its name on the package index, where `toolkit` is somebody else's."""
