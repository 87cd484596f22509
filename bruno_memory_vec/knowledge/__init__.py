"""What is known about and for a user: facts, profiles, kinds of memory, priorities."""
