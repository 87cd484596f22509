"""Typed views over the one table: conversational, semantic, episodic, procedural."""
