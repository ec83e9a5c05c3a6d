"""Whole processes, against the bare interpreter and git in the same run."""
