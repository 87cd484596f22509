"""Facts and preferences, taken from what was said."""
