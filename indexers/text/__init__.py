"""Analysis of text into terms, the same for every engine."""
