"""The context builder: the right few hundred tokens for a prompt."""
