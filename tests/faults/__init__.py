"""T4: everything that a network and a cloud do wrong, at every call that a deploy makes."""
