"""How a run goes, and what is left of it when it is not let."""
