"""BM25 over rows in memory, by the formula of the lexical index."""
