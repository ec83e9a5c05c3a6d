"""The code of a Lambda function: a version is published, and an alias moved to it."""
