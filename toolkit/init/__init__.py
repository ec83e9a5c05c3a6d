"""How to start: what a repository already says about how it is deployed (CI, scripts, templates,
path filters), as a draft rules.toml.

Pure: texts and lists of paths come in, drafts and findings go out.
"""
