"""Cost against size: stores of ten thousand to a million rows, measured through the public API."""
