"""What it takes to look at a static site: its bucket, its distribution, its certificate."""
