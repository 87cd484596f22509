"""The write path: group commit, and the projections of the rows."""
