"""Ballast is data like any other: what is accepted must fit on the device, and be there afterwards."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from torture.errors import BrokenPromise, StepFailed
from torture.faults.space.enospc import Enospc
from torture.rig import ballast
from torture.rig.ballast import Ballast, fill

LIMIT = 4 << 20
PAGE = 4096


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A filesystem of 4 MiB that has room without end, half of it preallocated."""
    monkeypatch.setattr(ballast, "_preallocate", lambda *_: LIMIT // 2)
    monkeypatch.setattr(ballast, "_compresses", lambda _: False)
    return SimpleNamespace(
        mount_point=tmp_path, length_sectors=LIMIT >> 9, plan=SimpleNamespace(page_bytes=PAGE, stamp_run=7)
    )


def full_after(monkeypatch: pytest.MonkeyPatch, room_bytes: int, *, told_late: bool = False) -> None:
    """From now on only so many bytes are accepted, whatever is left of them in a short write."""
    write, left = os.write, [room_bytes]

    def bounded(descriptor: int, content: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "full")
        wrote = write(descriptor, content[: left[0]])
        left[0] -= wrote
        return wrote

    def refusing(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", bounded)
    if told_late:
        monkeypatch.setattr(os, "fdatasync", refusing)


def test_more_than_the_device_holds_is_a_finding(scene: Any) -> None:
    with pytest.raises(BrokenPromise) as raised:
        fill(scene, 0)
    finding = raised.value.finding
    assert (finding.kind, finding.promise, finding.expected) == ("overfull", "invented", f"room for at most {LIMIT} bytes")
    assert finding.found == f"{LIMIT + (1 << 20)} bytes of ballast accepted"


def test_a_filesystem_that_compresses_may_accept_more(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballast, "_compresses", lambda _: True)
    full_after(monkeypatch, 2 * LIMIT)
    assert fill(scene, 0).written_bytes == 2 * LIMIT


def test_one_without_end_is_not_accused_where_it_compresses(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballast, "_compresses", lambda _: True)
    monkeypatch.setattr(ballast, "_MOST_COMPRESSED", 2)
    with pytest.raises(StepFailed, match="no end of it"):
        fill(scene, 0)


def filled(scene: Any, monkeypatch: pytest.MonkeyPatch, **options: bool) -> Ballast:
    """Full, and the last write was cut short within a page."""
    with monkeypatch.context() as bounded:
        full_after(bounded, LIMIT // 2 - 1000, **options)
        made = fill(scene, 0)
    assert made.written_bytes == LIMIT // 2 - 1000
    return made


def test_ballast_that_is_there_is_fine(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(scene, monkeypatch).check(scene)


@pytest.mark.parametrize(("at", "content", "lost"), [(PAGE + 7, bytes(9), 9), (None, b"", 1)])
def test_ballast_that_is_gone_is_a_finding(
    scene: Any, monkeypatch: pytest.MonkeyPatch, at: int | None, content: bytes, lost: int
) -> None:
    made = filled(scene, monkeypatch)
    tail = made.directory / "tail"
    if at is None:
        os.truncate(tail, made.written_bytes - lost)
    else:
        with open(tail, "r+b") as damaged:
            damaged.seek(at)
            damaged.write(content)
    with pytest.raises(BrokenPromise, match="lost: ballast at byte") as raised:
        made.check(scene)
    assert f": {lost} of " in raised.value.finding.found or content


def test_the_files_are_read_although_the_ballast_is_gone(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, fault = filled(scene, monkeypatch), Enospc({})
    os.truncate(made.directory / "tail", 0)
    monkeypatch.setattr(fault, "_ballast", made, raising=False)
    scene.sound_disk, scene.broken = True, []
    fault.remounted(scene)
    assert [finding.kind for finding in scene.broken] == ["lost"]


def test_what_no_sync_vouched_for_may_be_gone(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(scene, monkeypatch, told_late=True)
    os.truncate(made.directory / "tail", 0)
    made.check(scene)


def test_a_probe_write_that_is_accepted_must_be_there(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(scene, monkeypatch)
    assert made.probe() is False
    monkeypatch.setattr(os, "pread", lambda _, length, __: bytes(length))
    with pytest.raises(BrokenPromise, match="lost: a probe write"):
        made.probe()
