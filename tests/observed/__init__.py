"""Of what was observed, without running anything."""
