"""Session metadata and hot context. Messages here are copies; the rows are the source of truth."""
