"""A derived file for each user: what a recall needs in memory of that user's rows.

``layout`` turns rows in memory into bytes and back; ``files`` keeps the files of a store, and knows
which of them are as the rows are now.
"""
