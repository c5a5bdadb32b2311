"""A disk image and the ledger it is judged against; refuses what does not fit together, before anybody is accused."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from devicemapper import tools
from torture.crash.outcome import STATES, AsOf, findings, read_states
from torture.crash.replay import KEPT_STATE
from torture.errors import BadRequest, BrokenTool
from torture.filesystems import FILESYSTEMS, Filesystem, filesystem
from torture.lab.disk import image_chunks
from verify import ledger, oracle, stamp
from verify.completed import completed
from verify.ledger_file import LedgerError, read_ledger
from verify.observation import Missing, ObservationError, Page, read_observations
from verify.stamp import SECTOR_BYTES, Kind, Look, SectorLook, Span

_PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger that can be judged by. Invariant: the first of `records` is `begin`."""

    path: Path
    begin: ledger.Begin
    records: tuple[ledger.Record, ...]

    def expectations(self, position: int | None, *, unmounted: bool) -> oracle.Expectations:
        """What must be there when the power went after `position` records (None: all of them); `unmounted`: it did not
        go, unless the ledger itself says so."""
        if unmounted:
            return oracle.expectations(self.records)
        if position is not None and not 0 < position <= len(self.records):
            raise BadRequest(f"--position {position} is not in {self.path}", f"it has {len(self.records)} records")
        return AsOf(self.records).position(len(self.records) if position is None else position)


def kept_position(image: Path, judged_by: Ledger) -> int | None:
    """The ledger position of a crash state that a replay kept (torture.crash.replay): that of the first state that
    failed. None for any other image."""
    states = image.parent / STATES
    if image.name != KEPT_STATE or not states.is_file():
        return None
    expected = AsOf(judged_by.records)
    failing = (seen.position for seen in read_states(states) if findings(seen, expected.position(seen.position)))
    try:
        return next(failing, None)
    except (OSError, ObservationError) as error:
        raise BadRequest(f"cannot tell when the power went: {error}", "give --position, or another image") from error


def load_ledger(path: Path) -> Ledger:
    """BadRequest for what is no ledger, or one that this machine cannot judge by."""
    asked = "give the ledger.jsonl of the trial that wrote the image"
    try:
        records = tuple(read_ledger(path))
        oracle.expectations(records)
    except (OSError, LedgerError, oracle.HistoryError) as error:
        raise BadRequest(f"{path} is no ledger that can be judged by: {error}", asked) from error
    begin = records[0]
    assert isinstance(begin, ledger.Begin)  # oracle.expectations() refuses others
    if begin.page_bytes != mmap.PAGESIZE:
        raise BadRequest(
            f"{path} is of a machine with pages of {begin.page_bytes} bytes, this one has {mmap.PAGESIZE}",
            "judge the image where it was written",
        )
    if not any(completed(records)):
        raise BadRequest(f"{path} holds no store, so nothing can be judged by it", asked)
    return Ledger(path, begin, records)


def choose_filesystem(image: Path, disk: Path, name: str | None) -> Filesystem:
    """The filesystem called `name`, or the one that `disk`, the raw copy of `image`, says it holds."""
    found = _signature(disk)
    if name is None:
        if found not in FILESYSTEMS:
            what = f"holds {found}" if found else "has no signature of a filesystem"
            raise BadRequest(f"image {image} {what}", f"say what it is with --fs, one of {', '.join(FILESYSTEMS)}")
        return FILESYSTEMS[found]
    row = filesystem(name)
    if found not in ("", row.type, *row.signatures):
        raise BadRequest(f"image {image} holds {found}, not {row.type}", "give the ledger and --fs of this image")
    return row


def _signature(disk: Path) -> str:
    """The type that blkid sees, "" for none."""
    probe = ["blkid", "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", str(disk)]
    return " ".join(tools.run(probe, _PROBE_TIMEOUT_S, ok=(0, 2, 8)).stdout.split())


def check_belongs(image: Path, judged_by: Ledger, directory: Path) -> None:
    """BadRequest when what was read of the image shows that another trial wrote it.

    A file that shows this run's stamps proves that it belongs. Without any, files that are all gone, or that show the
    stamps of another run, would be accusations of a filesystem that may have lost nothing: then a stamp of this run
    must lie somewhere on the disk.
    """
    run = judged_by.begin.run
    files = [record.file for record in judged_by.records if isinstance(record, ledger.File)]
    try:
        seen = list(chain.from_iterable(read_observations(directory / f"cold-{file}.jsonl") for file in files))
    except (OSError, ObservationError) as error:
        raise BrokenTool(f"the guest did not read image {image} as it should: {error}", "try another kernel") from error
    runs = {run for each in seen if isinstance(each, Span) and each.look == Look.OWN}
    runs |= {view.run for each in seen if isinstance(each, Page) for view in each.sectors if _is_written(view)}
    if run in runs or (not runs and not all(isinstance(each, Missing) for each in seen)):
        return
    if run not in _runs_on(image):
        raise BadRequest(
            f"nothing on image {image} was written by the trial of {judged_by.path}", "give the ledger of this image"
        )


def _is_written(view: stamp.SectorView) -> bool:
    return view.look == SectorLook.STAMP and view.kind != Kind.FOREIGN


def _runs_on(image: Path) -> Iterator[int]:
    """The runs of all valid stamps on a disk."""
    for chunk in image_chunks(image):
        for offset in range(0, len(chunk), SECTOR_BYTES):
            view = stamp.classify(chunk[offset : offset + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0"))
            if view.look == SectorLook.STAMP:
                yield view.run
