"""Stage 4: do it. What starts when, what is waited for, what a signal or a crash leaves behind."""
