"""Clauses 9 and 10: the end of the file, and pages whose blocks are taken away."""

from __future__ import annotations

from torture.contract.experiment import LOOK, MSYNC, PLAIN, POWER_CUT, STORE, Experiment, Judge, Seen, Stage
from torture.contract.stores import counted
from torture.contract.verdict import ClauseVerdict, Judgement
from workloads.plan import Op

_SCRIBBLE, _EMPTY, _GROW, _PUNCH = Op("scribble"), Op("empty"), Op("grow"), Op("punch")
_LOOK_AT_HOLE = Op("look", 2, 4)
"""The pages of a file of eight that `punch` takes."""


def _past_end(experiment: Experiment, seen: Seen) -> Judgement:
    """ "The system shall never write out any modified portions of the last page of an object which are beyond its end",
    and extending it gives zeros (POSIX, mmap; mmap(2)): while it is mapped, or after the remount (fault `grown`)."""
    if any(seen.alterations) or seen.errors():
        return Judgement(ClauseVerdict.broken, "the store, its msync or the extension was refused though there is room")
    if seen.findings:
        words = f"after the extension, bytes stored past the end are not zero: {counted(seen.findings)}"
        return Judgement(ClauseVerdict.broken, words)
    return Judgement(ClauseVerdict.holds, "zeros past the old end after the extension")


def _row_past_end(name: str, stage: Stage, *ops: Op) -> Experiment:
    return Experiment(clause=9, name=name, stage=stage, layout="straddling", ops=ops, judge=_past_end, pages=2)


def _taken_away(*due: int) -> Judge:
    """A judge who knows how many pages each store is to be refused.

    Truncate and punch unmap the pages, locked or not (mm/truncate.c, truncate_pagecache_range), so that the next touch
    faults: SIGBUS past the end, zeros within, and the store after that is asked for anew.
    """

    def judge(experiment: Experiment, seen: Seen) -> Judgement:
        refused, errors = [len(store) for store in seen.faults], seen.errors()
        story = f"refused of {experiment.pages} in each store: {refused}"
        if dead := seen.looks[0].nonzero_bytes:
            return Judgement(ClauseVerdict.broken, f"{dead} bytes came back in the mapping")
        if refused != list(due) or errors:
            return Judgement(ClauseVerdict.broken, f"{story} instead of {list(due)}; {', '.join(errors) or 'msync 0'}")
        if seen.findings:
            return Judgement(ClauseVerdict.broken, f"{story}; {counted(seen.findings)}")
        return Judgement(ClauseVerdict.holds, f"{story}; zeros in between")

    return judge


def _row_taken_away(name: str, *ops: Op, due: tuple[int, ...]) -> Experiment:
    return Experiment(clause=10, name=name, stage=PLAIN, ops=(STORE, MSYNC, *ops, MSYNC), judge=_taken_away(*due))


_TRUNCATE = (_EMPTY, STORE, _GROW, LOOK)

EXPERIMENTS: tuple[Experiment, ...] = (
    _row_past_end("remount", PLAIN, _SCRIBBLE, MSYNC),
    _row_past_end("cut", POWER_CUT, _SCRIBBLE, MSYNC),
    _row_past_end("extend", PLAIN, _SCRIBBLE, _GROW),
    _row_past_end("msync-extend", PLAIN, _SCRIBBLE, MSYNC, _GROW),
    _row_taken_away("truncate", *_TRUNCATE, due=(0, 8)),
    _row_taken_away("truncate-store", *_TRUNCATE, STORE, due=(0, 8, 0)),
    _row_taken_away("punch", _PUNCH, _LOOK_AT_HOLE, due=(0,)),
    _row_taken_away("punch-store", _PUNCH, _LOOK_AT_HOLE, STORE, due=(0, 0)),
)
