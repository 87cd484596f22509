"""Measurements of what is known of conversations as a whole: where they have seams."""
