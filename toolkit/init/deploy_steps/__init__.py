"""What the steps of jobs deploy: one file for each sort of evidence."""
