"""CI path filters, read as the tools that run them read them, and said as rules."""
