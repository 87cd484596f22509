"""Which rows matter: a score, pins, importance, pruning."""
