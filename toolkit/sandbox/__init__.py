"""The embedded AWS, in an environment and a process of its own, so that every command can be tried
without an account.
"""
