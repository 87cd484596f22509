"""A store: what a URL names, opened and closed."""
