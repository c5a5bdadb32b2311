"""What was found: the store of a run, findings that are the same, findings that are known, what counts prove."""
