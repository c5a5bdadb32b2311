"""The mlock conformance table: what mlock, page faults, writeback and sync owe each other, clause by clause.

Each clause of `torture.contract.clauses` is a few small deterministic experiments: a file, a worker's steps, and a judge.
`trials` puts those that need the same faults into one plan, pinned and not; the guests of a campaign carry the plans out
(`conformance`), what they leave is judged by the oracle of all trials and put in the words of a clause (`stores`,
`verdict`), `table` prints it side by side, and `contract_command` is the command line. See docs/contract.md.
"""
