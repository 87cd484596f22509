"""Stores from one format to another, forward and back."""
