"""Encrypts a store in its place, decrypts it, and gives it another master key."""
