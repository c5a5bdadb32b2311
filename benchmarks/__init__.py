"""Measurements against the tool's goals, printed by `make bench`."""
