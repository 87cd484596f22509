"""Upkeep: compaction, verification, health, diagnosis and repair, another embedder."""
