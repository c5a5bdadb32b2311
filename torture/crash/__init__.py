"""Crash states: every disk that a power loss could have left, built from a log of writes, mounted and judged."""
