"""What outlives a process: journals, history, locks, what is live."""
