"""Rows of bruno-memory-vec in PostgreSQL with pgvector.

``open_memory("postgresql://user@host:5432/database?schema=NAME")`` finds
:class:`.deployment.PostgreSQL` by the entry point that this package has.
"""
