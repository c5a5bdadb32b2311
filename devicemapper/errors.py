"""The base of every error of this package, so that a caller can name them all at once."""

from __future__ import annotations


class BlockStackError(Exception):
    """Something about the block stack could not be done. Subclasses carry fields and render late, as a sentence."""
