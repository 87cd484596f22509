"""Measurements: quality, speed. Each prints its command, machine, versions and commit."""
