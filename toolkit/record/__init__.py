"""Stage 6: what happened? Journals, history, locks, and the record of what is live where."""
