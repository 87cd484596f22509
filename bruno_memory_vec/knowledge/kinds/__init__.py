"""Typed views over the one table: conversational, semantic, episodic, procedural.

Each is a way to see memories of some of bruno-core's types, with what such memories need: short
ones expire and become lasting, statements are not doubled, events have a time, procedures have
steps. What one of them stores is a plain ``MemoryEntry``, which every other call finds as well.
"""
