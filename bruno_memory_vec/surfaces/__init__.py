"""The user interfaces of a memory."""
