"""Conversations: their owners and sessions, the context of an assistant, lists of what was said."""
