"""Forgetting a user: everything goes, a receipt says so, and a check looks for what remains."""
