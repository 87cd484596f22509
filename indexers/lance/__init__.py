"""LanceDB: the rows and their vectors, in a folder, behind a write-ahead log and a cache."""
