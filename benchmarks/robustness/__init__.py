"""What is left of a store when things go wrong: ours and peers under the same treatment."""
