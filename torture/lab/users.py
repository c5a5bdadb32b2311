"""Whom guests run as on this machine, if root starts them: a user of its own for each, who has no name and no files.

A uid tells of which guest a process is also when the guest was taken over: it is made from the place of the guest's home.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from torture.lab import processes, sandbox
from torture.lab import run_id as runs

_FIRST, _COUNT = 0x71000000, 1 << 24
"""Uids that nothing else has: systemd leaves 1879048192 to 2147352575 to nobody (its docs/UIDS-GIDS.md)."""


def guest_user(home: Path) -> int | None:
    """The uid and gid of the guest whose files are in `home`. None to stay who we are: who is not root has no choice, nor
    has root in a container that knows no such user."""
    number = _number(home)
    return number if os.geteuid() == 0 and sandbox.is_mapped(number) else None


def is_guest_in(pid: int, run_home: Path) -> bool:
    """Whether a process is one of the guests of a run with that home: no other has its uid, whatever it says of itself."""
    index = re.fullmatch(r".*/(\d{1,9})", processes.variable(pid, runs.GUEST))
    return index is not None and processes.is_user(pid, _number(run_home / f"guest-{index[1]}"))


def _number(home: Path) -> int:
    digest = hashlib.sha256(os.fsencode(home.resolve())).digest()
    return _FIRST + int.from_bytes(digest[:4], "big") % _COUNT
