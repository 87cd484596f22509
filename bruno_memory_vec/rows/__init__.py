"""Rows: bruno-core's models to rows and back, and the checks of what comes in."""
