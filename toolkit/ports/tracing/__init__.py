"""Watches what a command and its children look up: by strace where that works, else by hooks in
node and Python.
"""
