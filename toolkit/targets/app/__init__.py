"""A container image on ECS: `state` reads what is there, `preview` says what would be done, `apply`
does it, `observe` says how it goes.
"""
