"""Assistants with this memory, and what they are told by events."""
