"""Run ids, and how a living run is told from a dead one.

Everything a run makes (dm devices, loop backing files, mounts, cgroups, guests) carries its id. A living run holds its home
(torture.lab.homes), and its processes say in their environment where that is.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from devicemapper.errors import BlockStackError
from torture.errors import BadRequest, BrokenTool
from torture.lab import homes

PREFIX = "torture-"
PATTERN = re.compile(r"torture-\d{8}-\d{6}-[0-9a-f]{6}")
ENVIRONMENT = "TORTURE_RUN"
"""The variable that every process of a run has in its environment."""
GUEST = f"{ENVIRONMENT}_GUEST"
"""The variable that says, as RUN/NUMBER, of which guest a process is."""
HOME = "TORTURE_HOME"
"""The variable that says where the home of that run is."""

_ATTEMPTS = 10


def new_run_id() -> str:
    """A fresh id, sortable by time: torture-YYYYMMDD-HHMMSS-xxxxxx."""
    return f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def environment(run_id: str, scratch: Path) -> dict[str, str]:
    """What every process of a run has in its environment."""
    return {ENVIRONMENT: run_id, HOME: str((scratch / run_id).resolve())}


def is_alive(pid: int, variables: Mapping[str, str]) -> bool:
    """Whether the run that process `pid` says it is of, in its environment, goes on: somebody holds the home that the
    process sees.

    In whatever mount namespace it is (/proc/PID/root of proc(5)); its other namespaces do not matter.
    """
    home = variables.get(HOME, "")
    return bool(home) and homes.is_held(Path(f"/proc/{pid}/root") / home.lstrip("/"))


class Hold(AbstractContextManager["Hold"]):
    """Holds a run for the life of this process; a second holder gets BadRequest. Its home is there meanwhile.

    A home that is still there in the end, because something in it is mounted or busy, is for torture.lab.clean to remove
    and to report.
    """

    def __init__(self, run_id: str, scratch: Path) -> None:
        self._run_id, self._path = run_id, scratch / run_id

    def __enter__(self) -> Hold:
        self._home = self._taken()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError, BlockStackError):
            self._home.remove()
        self._home.close()

    def _taken(self) -> homes.Home:
        """Whoever cleans up after an earlier process of this run may remove the home under our hands."""
        for _ in range(_ATTEMPTS):
            try:
                home = homes.make_home(self._path)
            except OSError as error:
                raise BrokenTool(f"cannot make {self._path}: {error.strerror}", "give another --scratch") from error
            if home is not None and self._is_locked(home):
                return home
        raise BrokenTool(f"{self._path} is not a directory of this user", "remove it, or give another --scratch")

    def _is_locked(self, home: homes.Home) -> bool:
        """False if it is gone by now; it is closed unless it is locked."""
        try:
            home.lock(homes.RUNNING)
            return True
        except FileNotFoundError:
            home.close()
            return False
        except homes.Held as held:
            home.close()
            raise BadRequest(f"run {self._run_id} is being carried out by another process", "wait for it") from held
        except OSError as error:
            home.close()
            raise BrokenTool(f"cannot lock {self._path}: {error.strerror}", "give another --scratch") from error
