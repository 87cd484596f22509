"""The keys of an encrypted store: the master key, and one key a user, which it wraps."""
