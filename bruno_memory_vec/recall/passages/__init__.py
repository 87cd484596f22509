"""Passages of long texts: a fact in the middle of a long message is found, and shown, by its own.

``windows`` cuts a text; ``held`` keeps a user's passages in memory, with their vectors and words;
``scores`` says how well those of each row answer a question; ``shown`` names the best one of a hit.
"""
