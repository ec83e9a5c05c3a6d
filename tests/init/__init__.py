"""Drafts and findings, from texts and lists of paths."""
