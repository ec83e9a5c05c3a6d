"""The story: diff with a record, deploys, runs."""
