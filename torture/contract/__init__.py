"""The mlock conformance table: what mlock, page faults, writeback and sync owe each other, clause by clause.

Each clause of `torture.contract.clauses` is a few small deterministic experiments. In the guest, `engine` carries them
out on one filesystem, stage by stage (`stages`: experiments that need the same block stack and the same end share a
mount), pinned and not, and leaves one JSON line for each. On the host, `conformance` boots the kernels and gathers the
lines, `table` prints them side by side, and `command` is the command line. See docs/contract.md.
"""
