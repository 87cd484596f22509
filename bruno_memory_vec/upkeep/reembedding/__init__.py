"""Move a store to another embedder: copy the rows (`move`), switch and report (`run`).

`elsewhere` does so for stores that are no folder.
"""
