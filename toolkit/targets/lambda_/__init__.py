"""What it takes to look at a Lambda function: its state, its alias, its errors."""
