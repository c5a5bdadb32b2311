"""Targets, tables and what dmsetup prints: pure text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemapper.status import PoolStatus, Status, parse_status, pool_status
from devicemapper.table import Segment, Table
from devicemapper.targets import Delay, Dust, Error, Flakey, Linear, LogWrites, Snapshot, Target, Thin, ThinPool, Zero

_devices = st.sampled_from(["/dev/loop0", "/dev/mapper/torture-1", "254:3"])
_sectors = st.integers(0, 2**40)
_features = st.lists(
    st.sampled_from(["drop_writes", "error_writes", "error_reads", "corrupt_bio_byte 32 r 1 0", "random_read_corrupt 5"]),
    max_size=3,
).map(tuple)
_targets: st.SearchStrategy[Target] = st.one_of(
    st.builds(Linear, _devices, _sectors),
    st.builds(Flakey, _devices, _sectors, st.integers(0, 999), st.integers(1, 999), _features),
    st.just(Error()),
    st.just(Zero()),
    st.builds(Delay, _devices, _sectors, st.integers(0, 9), _devices, _sectors, st.integers(0, 9)),
    st.builds(Dust, _devices, _sectors, st.sampled_from([512, 4096])),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Any valid table."""
    segments, start = [], 0
    for length, target in draw(st.lists(st.tuples(st.integers(1, 2**40), _targets), min_size=1, max_size=6)):
        segments.append(Segment(start, length, target))
        start += length
    return Table(tuple(segments))


@given(tables(), st.data())
def test_a_gap_or_overlap_is_refused(table: Table, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(table.segments) - 1))
    shift = data.draw(st.integers(-3, 3).filter(bool))
    segments = list(table.segments)
    moved = segments[index]
    segments[index] = Segment(moved.start_sectors + shift, moved.length_sectors, moved.target)
    with pytest.raises(ValueError, match="does not continue the table at sector"):
        Table(tuple(segments))


@pytest.mark.parametrize("segments", [(), (Segment(0, 0, Zero()),), (Segment(0, -1, Zero()),)])
def test_an_empty_table_or_segment_is_refused(segments: tuple[Segment, ...]) -> None:
    with pytest.raises(ValueError):
        Table(segments)


def test_flakey_always_announces_how_many_features_follow() -> None:
    """Without the count, kernels 6.4 to 6.15 never fail."""
    assert " ".join(Flakey("/dev/x", 8, 180, 0).arguments()) == "/dev/x 8 180 0 0"
    assert " ".join(Flakey("/dev/x", 8, 0, 180, ("drop_writes",)).arguments()) == "/dev/x 8 0 180 1 drop_writes"
    corrupt = Flakey("/dev/x", 8, 0, 180, ("corrupt_bio_byte 32 r 1 0", "error_writes"))
    assert " ".join(corrupt.arguments()) == "/dev/x 8 0 180 6 corrupt_bio_byte 32 r 1 0 error_writes"


@pytest.mark.parametrize("device", ["", "/dev/a b", "/dev/a\n"])
def test_a_device_that_a_table_cannot_name_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="cannot name the device"):
        Linear(device)


def test_flakey_without_an_interval_or_with_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="interval"):
        Flakey("/dev/x", 0, 0, 0)
    with pytest.raises(ValueError, match="no flakey feature: 'drop_reads'"):
        Flakey("/dev/x", 0, 0, 1, ("drop_reads",))
    with pytest.raises(ValueError, match="no flakey feature"):
        Flakey("/dev/x", 0, 0, 1, ("corrupt_bio_byte 32",))


def test_status_lines_keep_the_words_of_the_target() -> None:
    text = "0 100000 flakey \n100000 8 log-writes 26 100 logging_disabled\n"
    assert parse_status(text) == (
        Status(0, 100000, "flakey", ()),
        Status(100000, 8, "log-writes", ("26", "100", "logging_disabled")),
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Linear("/dev/a", 8), "linear /dev/a 8"),
        (LogWrites("/dev/a", "/dev/b"), "log-writes /dev/a /dev/b"),
        (Snapshot("/dev/a", "/dev/b"), "snapshot /dev/a /dev/b N 8"),
        (Snapshot("7:0", "7:1", 16, persistent=True), "snapshot 7:0 7:1 P 16"),
        (ThinPool("7:0", "7:1", features=(ThinPool.ERROR_IF_NO_SPACE,)), "thin-pool 7:0 7:1 128 0 1 error_if_no_space"),
        (ThinPool("7:0", "7:1", 256), "thin-pool 7:0 7:1 256 0 0"),
        (Thin("/dev/pool", 3), "thin /dev/pool 3"),
        (Delay("7:0", 16, 50, "7:1", 8, 0), "delay 7:0 16 50 7:1 8 0"),
        (Dust("7:0", 8, 4096), "dust 7:0 8 4096"),
        (Error(), "error"),
        (Zero(), "zero"),
    ],
)
def test_a_table_is_written_as_the_kernel_documents_it(target: Target, words: str) -> None:
    assert str(Table((Segment(0, 8, target), Segment(8, 1, target)))) == f"0 8 {words}\n8 1 {words}"


def test_what_the_kernel_would_refuse_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 128"):
        ThinPool("/dev/a", "/dev/b", 100)
    with pytest.raises(ValueError, match="no power of two"):
        Snapshot("/dev/a", "/dev/b", 9)


def test_the_status_of_a_thin_pool() -> None:
    words = "0 1024 thin-pool 1 214/2048 132/1024 - out_of_data_space discard_passdown error_if_no_space - 1024\n"
    (status,) = parse_status(words)
    assert pool_status(status) == PoolStatus(214, 2048, 132, 1024, "out_of_data_space")
    assert pool_status(status).free_data == 892
    with pytest.raises(ValueError, match="no status of a working thin-pool: thin-pool Fail"):
        pool_status(Status(0, 8, "thin-pool", ("Fail",)))
