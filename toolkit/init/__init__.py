"""How to start: what a repository already says about its parts (Dockerfiles, stacks, CI path
filters), as a draft rules.toml.

Pure: texts and lists of paths come in, drafts and findings go out.
"""
