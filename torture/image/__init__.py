"""`torture verify --image`: a disk image that a crash left, judged against the ledger of what was stored on it.

`subject` is what is judged and refuses what does not fit together, `examination` runs in the lab and looks, `command` is
the rim. The verdict is `torture.judge`'s, as of every trial.
"""
