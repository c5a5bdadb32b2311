"""Which disks a power loss could have left: every prefix at a barrier or mark, and nothing that breaks the order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from devicemapper.log_writes import Entry, Flag
from torture.crash import outcome
from torture.crash.states import CrashState, Piece, steps
from verify import ledger

KINDS = {"w": (8, Flag(0)), "F": (0, Flag.FLUSH), "U": (8, Flag.FUA), "m": (0, Flag.MARK), "d": (8, Flag.DISCARD)}


def make_log(kinds: str) -> list[Entry]:
    """One entry a letter; marks carry 100 and their index."""
    return [
        Entry(index, index * 8, KINDS[kind][0], KINDS[kind][1], str(100 + index) if kind == "m" else "", 0)
        for index, kind in enumerate(kinds)
    ]


def walk(kinds: str, samples: int = 0) -> list[Entry | CrashState]:
    return list(steps(make_log(kinds), 7, Random(1), samples))


def prefixes(kinds: str) -> list[tuple[int, int]]:
    return [(step.entries, step.position) for step in walk(kinds) if isinstance(step, CrashState)]


def test_every_barrier_and_mark_is_a_state_that_owes_what_the_last_mark_says() -> None:
    assert prefixes("") == [(0, 7)]
    assert prefixes("wF") == [(0, 7), (2, 7)]
    assert prefixes("wFmwF") == [(0, 7), (3, 102), (5, 102)]
    assert prefixes("UmU") == [(0, 7), (2, 101), (3, 101)]


def test_a_mark_before_unflushed_writes_owes_without_them() -> None:
    assert prefixes("mww") == [(1, 100), (3, 100)]


@given(st.text(st.sampled_from("wwwFUmd"), max_size=60), st.integers(0, 5), st.integers(0, 1 << 30))
def test_no_state_lacks_a_durable_write_or_has_one_from_after_the_next_barrier(kinds: str, samples: int, seed: int) -> None:
    log = make_log(kinds)
    on_disk: list[Entry] = []
    for step in steps(log, 0, Random(seed), samples):
        if isinstance(step, Entry):
            on_disk.append(step)
            continue
        before, after = kinds[: step.entries], kinds[step.entries :]
        assert on_disk == [entry for entry in log[: step.entries] if entry.writes]
        last_mark = before.rfind("m")
        assert step.position == (100 + last_mark if last_mark >= 0 else 0)
        writes = after[: min([after.find(barrier) % (len(after) + 1) for barrier in "Fm"])]
        for piece in step.extra:
            assert step.entries <= piece.entry.index < step.entries + max(len(writes), 1)
            assert 0 <= piece.first_sector < piece.first_sector + piece.sectors <= piece.entry.sectors
    assert on_disk == [entry for entry in log if entry.writes]


def test_the_same_seed_gives_the_same_states() -> None:
    assert walk("wwwFwUwwF", 5) == walk("wwwFwUwwF", 5)


def test_a_piece_grows_to_the_units_of_the_disk_but_not_past_its_write() -> None:
    entry = Entry(0, 12, 12, Flag(0), "", 0)
    assert Piece(entry, 1, 1).widened(8) == Piece(entry, 0, 4)
    assert Piece(entry, 3, 3).widened(8) == Piece(entry, 0, 12)


def test_a_sync_that_was_asked_for_after_the_power_loss_says_nothing_of_the_state() -> None:
    records: list[ledger.Record] = [
        ledger.Sync(1, "msync", (1,), 0, 1),
        ledger.Synced(1, 0),
        ledger.Store(1, 1, 0, 1, 1, 0, 4096),
    ]
    assert [type(outcome._unasked(record)) for record in records] == [ledger.Note, ledger.Note, ledger.Store]
