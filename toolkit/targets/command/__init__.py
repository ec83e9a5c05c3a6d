"""The kind `command`: what a program of the team's own deploys, such as terraform, helm or a
script.
"""
