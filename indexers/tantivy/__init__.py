"""Tantivy: the lexical index (BM25), in a folder or in memory."""
