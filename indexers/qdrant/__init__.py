"""Qdrant: the rows, their vectors and their words, on a server or in the client's local mode."""
