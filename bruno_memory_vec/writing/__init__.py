"""The write path: group commit, and what follows the rows."""
