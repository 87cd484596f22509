"""Conversations: their owners and sessions, the context of an assistant, lists and pages."""
