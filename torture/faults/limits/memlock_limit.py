"""RLIMIT_MEMLOCK: the workers may lock less than they map, so pins fail with ENOMEM or EAGAIN and workers go on."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from torture.errors import NotRun
from torture.faults.base import Fault, Options, Parameter, Proof
from torture.filesystems import Filesystem
from torture.rig.scene import TURNED_AWAY, Scene
from verify.ledger import Pinned
from verify.ledger_file import read_ledger
from workloads.pins import PINS


class MemlockLimit(Fault):
    """ENOMEM from mlock(2), EAGAIN from mmap(2) with MAP_LOCKED: a mapping that is pinned in part, or not at all."""

    name = "memlock-limit"
    meaning = "RLIMIT_MEMLOCK of the workers is too small, so that pins fail"
    parameters: ClassVar[Mapping[str, Parameter]] = {"kib": Parameter(8, 0, 1 << 40, "the limit in KiB")}
    excused_pin_errnos: ClassVar[frozenset[int]] = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EPERM})
    excused_errnos: ClassVar[frozenset[int]] = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EPERM})

    def options(self, row: Filesystem) -> Options:
        """For all workers."""
        return Options(memlock_bytes=self.values["kib"] << 10)

    def arm(self, scene: Scene) -> None:
        """NotRun for pins that count nothing against the limit, such as MAP_POPULATE."""
        page_bytes, limit_bytes = scene.plan.page_bytes, self.values["kib"] << 10
        locked = [PINS[each.pin].locked_bytes(each.pages * page_bytes) for each in scene.plan.workers]
        if not scene.plan.is_control and max(locked, default=0) <= limit_bytes:
            raise NotRun(f"no pin of the plan locks more than {limit_bytes} bytes, which is the limit")

    def proof(self, scene: Scene) -> Proof:
        """It fired when a pin failed or a worker could map nothing, as after mlockall(MCL_FUTURE); a plan that pins nothing
        has nothing that it could strike."""
        if scene.plan.is_control:
            return Proof(True, "nothing is pinned in this arm")
        pins = (record for record in read_ledger(scene.ledger_path) if isinstance(record, Pinned))
        failed = Counter(errno.errorcode.get(pin.errno, str(pin.errno)) for pin in pins if pin.errno)
        words = [f"{count} pins failed with {name}" for name, count in failed.items()]
        ours = {f"{TURNED_AWAY} {errno.errorcode[number]}" for number in self.excused_errnos}
        words += [f"{count} workers {what}" for what, count in scene.refusals.items() if what in ours]
        return Proof(bool(words), ", ".join(words) or "no pin failed")
