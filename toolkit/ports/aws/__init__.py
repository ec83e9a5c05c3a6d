"""AWS. `client.py` is the only file that knows boto3; the others are one service each."""
