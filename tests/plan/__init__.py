"""Stage 3: the narrowest plan, its order and its estimates."""
