"""No fault: the filesystem is unmounted and mounted again, and everything that was stored must be there."""

from __future__ import annotations

from torture.faults.base import Fault


class Nothing(Fault):
    """A clean unmount and a cold remount."""

    name = "none"
    meaning = "clean unmount, cold remount"
