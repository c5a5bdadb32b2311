"""Every detector is held up by a test: break one, and the tests of `verify` must fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TESTS = "tests/unit/verify"
WATCHING = ("test_checker.py", "test_oracle.py")


class Breakage(NamedTuple):
    """One line of `verify` that stops detecting: what it says, and what it says when it is broken."""

    detector: str
    file: str
    sound: str
    broken: str


BREAKAGES = (
    Breakage("lost", "sectors.py", "not shows(piece.durable) else Level.STALE", "False else Level.FINE"),
    Breakage("torn", "breach.py", 'return "torn" if len(shown) > 1', 'return "torn" if False'),
    Breakage("late", "breach.py", 'return "late"', 'return "lost"'),
    Breakage("clone-changed", "breach.py", 'return "clone-changed"', 'return "lost"'),
    Breakage("exposed", "identity.py", 'return Alien("exposed", "a foreign stamp")', "return ZERO"),
    Breakage("misdirected", "identity.py", 'return Alien("misdirected", ', "return ZERO and ("),
    Breakage("corrupt", "sectors.py", "if not shows(piece.known | {ZERO}):", "if False:"),
    Breakage("short", "file_check.py", "elif size_bytes < max(size.allowed):", "elif False:"),
    Breakage("unreadable", "file_check.py", "return [unreadable(judge.pieces, sectors, found)]", "return []"),
    Breakage("store promise", "history.py", "allowed=allowed,", "allowed=allowed | durable,"),
    Breakage("syncs after the swap", "oracle.py", " or ended >= self._swapped_at", ""),
    Breakage("sync_file_range", "oracle.py", 'if kind == "sync_file_range" or ', "if "),
    Breakage("sync(2) after the fault", "oracle.py", 'kind != "sync" or ended < self._struck_at', "True"),
    Breakage("failed alterations", "oracle.py", '"faulted" if altered.errno else "accepted"', '"accepted"'),
    Breakage("open alterations", "oracle.py", 'self._alter(alteration, When(began, None, "unknown"))', "pass"),
    Breakage(
        "crossing stores",
        "oracle.py",
        "first_page, inner.start, store.lo, page_bytes",
        "first_page, inner.start, 0, page_bytes",
    ),
)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=[breakage.detector for breakage in BREAKAGES])
def test_a_broken_detector_makes_a_test_fail(breakage: Breakage, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "verify", tmp_path / "verify")
    shutil.copytree(ROOT / TESTS, tmp_path / TESTS)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = tmp_path / "verify" / breakage.file
    text = broken.read_text()
    assert text.count(breakage.sound) == 1, "the detector moved: say where it is now"
    broken.write_text(text.replace(breakage.sound, breakage.broken))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"{TESTS}/{name}" for name in WATCHING)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "FAILED" in done.stdout
