"""Rows sealed before an engine has them."""
