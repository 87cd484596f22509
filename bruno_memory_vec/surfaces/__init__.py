"""Where people and programs meet a memory."""
