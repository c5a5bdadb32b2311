"""The disk fails reads or writes, or is slow."""
