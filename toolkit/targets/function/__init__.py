"""The code of a Lambda function; it can only be watched so far."""
