"""How good the extraction of facts is, and what stored facts do to recall."""
