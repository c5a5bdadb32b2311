"""Runs from start to end, on the host: what comes next, several guests at a time, the directory of a run."""
