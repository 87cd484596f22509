"""Compression: summaries stand for what is older, and nothing is lost."""
