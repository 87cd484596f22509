"""Text to terms, the same for every engine."""
