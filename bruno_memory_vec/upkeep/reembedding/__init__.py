"""Move a store to another embedder: copy the rows (`move`), switch and report (`run`)."""
