"""The directory that a run has for its disks, in a scratch directory that everybody may be able to write to.

Nothing there is believed by its name: a home is a real directory of this user, reached by a descriptor, and a living run
holds the lock in it (flock(2)), which the kernel drops with the process however it ends, in whatever namespaces it was.
Whoever cleans up after a dead run holds the same lock meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devicemapper import tools
from verify.closing import Closing

RUNNING, CLEANING = "running", "cleaning up"
"""What a lock is held for; it stands in the lock."""

LOCK = "lock"
LOCK_TIMEOUT_S = 5.0
"""How long to wait for a process that cleans up; a living run is not waited for."""
_LOOK_TIMEOUT_S = 0.5
"""`is_held` takes the lock for some microseconds."""
_PAUSE_S = 0.02
_REMOVE_TIMEOUT_S = 120.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Held(Exception):
    """Another process has the lock of a home, for RUNNING or CLEANING."""

    purpose: str

    def __str__(self) -> str:
        return f"another process holds it, {self.purpose}"


class Home(Closing):
    """An open home. Invariant: `descriptor` is a directory of this user, and no link led to it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self._lock = -1

    def lock(self, purpose: str) -> None:
        """Hold the home until it is closed. Held if somebody else does, FileNotFoundError if it is gone."""
        began = time.monotonic()
        while True:
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | _FILE, 0o600, dir_fd=self.descriptor)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock), os.stat(LOCK, dir_fd=self.descriptor, follow_symlinks=False)):
                    os.pwrite(lock, purpose.ljust(len(CLEANING)).encode(), 0)
                    self._lock, lock = lock, -1
                    return
            except BlockingIOError:
                holder = os.pread(lock, 64, 0).decode(errors="replace").strip() or RUNNING
                if time.monotonic() - began > (LOCK_TIMEOUT_S if holder == CLEANING else _LOOK_TIMEOUT_S):
                    raise Held(holder) from None
            finally:
                if lock >= 0:
                    os.close(lock)
            time.sleep(_PAUSE_S)

    def empty(self) -> None:
        """Remove everything but the lock. Nothing that is mounted there is touched. Raises CommandFailed.

        By rm(1), which follows no link and goes to any depth.
        """
        there = Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")
        entries = [path for path in there.iterdir() if path.name != LOCK]
        if entries:
            tools.run(["rm", "-rf", "--one-file-system", "--", *entries], _REMOVE_TIMEOUT_S)

    def remove(self) -> None:
        """Remove all of it, the lock last, whoever else may do so too. Raises CommandFailed, OSError."""
        self.empty()
        with suppress(FileNotFoundError):
            os.unlink(LOCK, dir_fd=self.descriptor)
        with suppress(FileNotFoundError):
            self.path.rmdir()

    def close(self) -> None:
        """Let go of it, and of its lock."""
        for descriptor in (self._lock, self.descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self.descriptor = -1


def open_home(path: Path) -> Home | None:
    """The home at `path`; None for what is no directory, not ours, or not there. `Home.path` is where it really lies."""
    try:
        descriptor = os.open(path, _DIRECTORY)
    except OSError:
        return None
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        return None
    return Home(Path(f"/proc/self/fd/{descriptor}").readlink(), descriptor)


def make_home(path: Path) -> Home | None:
    """The home at `path`, made if there is none; None if something else is there. Raises OSError.

    Nobody else can look into it. Root's can be passed through by whoever knows the way, since the workers and guests that
    root starts are other users.
    """
    with suppress(FileExistsError):
        path.mkdir(0o700)
    home = open_home(path)
    if home is not None:
        os.fchmod(home.descriptor, 0o711 if os.geteuid() == 0 else 0o700)
    return home


def is_held(path: Path) -> bool:
    """Whether somebody holds the home at `path`, whosever it is. True also if that cannot be told."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | _FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def to_clean(path: Path) -> Iterator[Home | None]:
    """The home at `path`, locked for cleaning; None if it is no home, in use, or gone by now. Raises Held if another
    process that cleans it up does not come to an end."""
    home = open_home(path)
    if home is None:
        yield None
        return
    with home:
        try:
            home.lock(CLEANING)
        except FileNotFoundError:
            yield None
        except Held as held:
            if held.purpose != RUNNING:
                raise
            yield None
        else:
            yield home
