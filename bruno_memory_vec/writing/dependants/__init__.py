"""What was made of a row and goes with it: summaries, facts, titles, lasting memories.

Each module says what has to go, or to change, when some rows are deleted or get another text. The
writer does it under its lock, before the rows themselves go.
"""
