"""Session metadata and hot context. Nothing here is the truth about a message: the rows are."""
