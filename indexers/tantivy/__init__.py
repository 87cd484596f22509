"""Tantivy: rows found by their words (BM25), in a folder or in memory."""
