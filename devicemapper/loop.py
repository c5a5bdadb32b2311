"""Loop devices over backing files, through losetup(8).

Which loop devices exist is read from sysfs (loop_attr_* in drivers/block/loop.c), which costs no command.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from devicemapper import tools, uevents
from devicemapper.errors import BlockStackError

COMMAND_TIMEOUT_S = 30.0
DETACH_TIMEOUT_S = 10.0

_DELETED = " (deleted)"  # d_path() says so of an unlinked file


@dataclass(eq=False)
class LoopBusy(BlockStackError):
    """A loop device that was told to detach is still held open by somebody."""

    path: Path
    backing_file: Path
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.path} is still in use {self.timeout_s:g} s after losetup -d; it holds {self.backing_file}"


@dataclass(frozen=True, slots=True)
class Attached:
    """A loop device in use."""

    path: Path
    backing_file: Path
    """Where the file is, or was if it is deleted by now."""


class LoopDevice:
    """A loop device that exists from `__enter__` to `__exit__`.

    `size_bytes` limits it to the first bytes of the file (None: all of it). I/O goes through the file's page cache.
    """

    def __init__(self, backing_file: Path, *, size_bytes: int | None = None) -> None:
        self.backing_file = backing_file.resolve()
        self._options = ["--direct-io=off"]
        if size_bytes is not None:
            self._options += ["--sizelimit", str(size_bytes)]
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The device node, once it is attached."""
        if self._path is None:
            raise ValueError(f"{self.backing_file} is not attached to a loop device")
        return self._path

    def __enter__(self) -> Self:
        argv = ["losetup", "--find", "--show", *self._options, str(self.backing_file)]
        self._path = Path(tools.run(argv, COMMAND_TIMEOUT_S).stdout.strip())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.detach()

    def detach(self, timeout_s: float = DETACH_TIMEOUT_S) -> None:
        """Detach it if it is attached. Raises LoopBusy if somebody keeps it open for longer than `timeout_s`."""
        if self._path is not None:
            _detach(self._path, self.backing_file, timeout_s)
            self._path = None


def attached() -> Iterator[Attached]:
    """The loop devices in use on this kernel."""
    for directory in Path("/sys/block").glob("loop*/loop"):
        try:
            backing_file = (directory / "backing_file").read_text().removesuffix("\n")
        except OSError:
            continue  # it was detached while we read
        yield Attached(Path("/dev") / directory.parent.name, Path(backing_file.removesuffix(_DELETED)))


def reap(directory: Path, timeout_s: float = DETACH_TIMEOUT_S) -> tuple[Path, ...]:
    """Detach every loop device whose backing file is, or was, in `directory` or below. Returns the devices.

    Unmount and remove what is on them first.
    """
    home = directory.resolve()
    if home == Path("/"):
        raise ValueError("every loop device of this machine is below /")
    left = [device for device in attached() if device.backing_file.is_relative_to(home)]
    for device in left:
        _detach(device.path, device.backing_file, timeout_s)
    return tuple(device.path for device in left)


def _detach(path: Path, backing_file: Path, timeout_s: float) -> None:
    """losetup succeeds on a device that is open: the kernel then sets autoclear and detaches at the last close."""

    def gone() -> bool:
        return not any(device.path == path and device.backing_file == backing_file for device in attached())

    if gone():
        return
    try:
        tools.run(["losetup", "--detach", str(path)], COMMAND_TIMEOUT_S)
    except tools.CommandFailed:
        if not gone():
            raise
    if not uevents.wait_until(gone, timeout_s):
        raise LoopBusy(path, backing_file, timeout_s)
