"""Refuses devices that must not be touched: the tool runs as root on machines people need (design.md section 6).

A device that the user names is claimed before he is asked and until the run ends. It is taken only if nobody uses it or
what lies below it (devicemapper.in_use), and if it is no part of something larger. What it is and what is on it is said
whether or not anybody is asked, so that the user knows what is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from devicemapper import in_use, tools
from torture.errors import BadRequest, BrokenTool
from torture.lab.device_identity import DeviceIdentity, identify
from verify.closing import Closing
from verify.descriptors import opened

_UNUSED = "only a device that nobody uses can be destroyed"
_LOCK_TIMEOUT_S = 2.0
"""udev holds a lock for as long as it looks at a device (https://systemd.io/BLOCK_DEVICE_LOCKING)."""
_PAUSE_S = 0.05
_PROBE_TIMEOUT_S = 20.0
_MEMBERS = {"zfs_member", "bcache", "ceph_bluestore", "stratis", "drbd", "VMFS", "vdo"}
"""What libblkid counts neither as raid nor as crypto, and is a part of something larger all the same."""


class Claim(Closing):
    """A block device that the user gave up: nobody else can claim it from `__enter__` on.

    Until `begin` the kernel refuses every exclusive user (O_EXCL of open(2)). From then on the run is to mount it, so the
    lock of flock(2) alone keeps other runs away, and udev; whether anybody else came is asked again before anything is
    written. The device stays open, so that its number is given to no other one.
    """

    def __init__(self, device: Path, needed_bytes: int) -> None:
        self.given, self._needed_bytes = device, needed_bytes
        self._open = ExitStack()
        self._exclusive = ExitStack()

    def __enter__(self) -> Self:
        """BadRequest unless it is a block device of at least the needed size that nobody uses and that is no member."""
        if not self.given.is_block_device():
            raise BadRequest(f"--destroy {self.given} is not a block device", "give a whole disk or a partition under /dev")
        self.device = self.given.resolve()
        try:
            self._lock()
            self._take()
            self._check()
            self.identity: DeviceIdentity = identify(self.device)
            self._check_size()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Let go of it."""
        self._exclusive.close()
        self._open.close()

    def begin(self) -> None:
        """The run begins, and is to use the device itself."""
        self._exclusive.close()

    def describe(self) -> str:
        """What the device is, and what is on it, in words for a confirmation."""
        identity = self.identity
        words = [f"{identity.size_bytes >> 20} MiB", identity.model, identity.serial or identity.wwid, identity.loop_file]
        found = [f"{kind} {label!r}" if label else kind for kind, label in _signatures(self.device)]
        holds = f"it holds {' and '.join(found)}" if found else "no signature was found on it"
        return "".join(filter(str.isprintable, f"{', '.join(filter(None, words))}; {holds}"))

    def _lock(self) -> None:
        """Before anything is asked of it: two runs on one device would accuse the filesystem of what the other did.

        It is closed while it waits: whoever has it open is a user of it for the run that has the lock.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while not self._is_locked():
            if time.monotonic() > deadline:
                raise self._refused("another run, or another program, has locked it (flock)")
            time.sleep(_PAUSE_S)

    def _is_locked(self) -> bool:
        with ExitStack() as trying:
            try:
                descriptor = trying.enter_context(opened(self.device, os.O_RDONLY | os.O_NONBLOCK))
            except OSError as error:
                raise self._refused(f"it cannot be opened ({error.strerror})") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._open = trying.pop_all()
            return True

    def _take(self) -> None:
        try:
            self._exclusive.enter_context(opened(self.device, os.O_RDWR | os.O_EXCL))
        except OSError as error:
            reason = in_use.why(self.device) or f"it cannot be opened for exclusive use ({error.strerror})"
            raise self._refused(reason) from error

    def _check(self) -> None:
        if reason := in_use.why(self.device, claimed=True) or _membership(self.device):
            raise self._refused(reason)

    def _check_size(self) -> None:
        size_bytes = self.identity.size_bytes
        if size_bytes < self._needed_bytes:
            needed = f"a scratch disk needs at least {self._needed_bytes >> 20} MiB"
            raise BadRequest(f"--destroy {self.given} has {size_bytes >> 20} MiB", needed)

    def _refused(self, reason: str) -> BadRequest:
        return BadRequest(f"--destroy {self.given}: {reason}", _UNUSED)


def check_again(device: Path) -> None:
    """BrokenTool if somebody began to use the device after it was claimed."""
    if reason := in_use.why(device):
        raise BrokenTool(f"{device} is not the run's alone any more: {reason}", "nothing more was written to it")


def _membership(device: Path) -> str:
    """Of what larger thing the device is a part, whether or not that is in use now; "" if of none."""
    probe = ["blkid", "-p", "-u", "raid,crypto", "-o", "value", "-s", "TYPE", str(device)]
    done = tools.run(probe, _PROBE_TIMEOUT_S, ok=(0, 2, 8))  # 8: several, and they contradict each other
    kinds = {kind for kind, _ in _signatures(device)}
    members = sorted(set(done.stdout.split()) | (kinds & _MEMBERS) | {kind for kind in kinds if kind.endswith("_member")})
    if not members and done.exit_code == 8:
        members = sorted(kinds)
    return f"it is a member of something larger ({', '.join(members)}); `wipefs` removes that mark" if members else ""


def _signatures(device: Path) -> list[tuple[str, str]]:
    """Type and label of all that libblkid finds on a device, in the order of wipefs(8), which changes nothing here."""
    told = tools.run(["wipefs", "--json", str(device)], _PROBE_TIMEOUT_S).stdout
    found = json.loads(told)["signatures"] if told.strip() else []
    return list(dict.fromkeys((str(each["type"]), str(each.get("label") or "")) for each in found))
