"""Move a store to another embedder: copy (`move`), switch and report (`run`), on disk (`files`)."""
