"""A CloudFormation stack: where its template comes from, what a change set would do, the calls,
and what comes of them.
"""
