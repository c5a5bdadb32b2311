"""What happens to an image in the lab: recovered, mounted, read cold, unmounted, checked. The counterpart of a trial's
mend and judge phases; leaves the same files."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from devicemapper import mounts, tools
from devicemapper.errors import BlockStackError
from devicemapper.loop import LoopDevice
from torture.errors import NotRun, StepFailed
from torture.filesystems import Filesystem, filesystem
from torture.rig import remount
from torture.rig.kernel_log import KernelLog, alarms
from torture.rig.machine import Machine, filesystem_missing
from torture.rig.record import COMMANDS, KERNEL_LOG, LEDGER, Record
from verify import codec, ledger
from verify.ledger_file import read_ledger

EXAMINATION = "examination.json"

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Examination:
    """How to bring the image up; the files to read are those of the ledger beside it. `crashed`: nobody unmounted it."""

    filesystem: str
    mount_options: tuple[str, ...]
    crashed: bool


def examine(machine: Machine, directory: Path, announce: Announce) -> Record:
    """Examine the image that is the machine's disk, as `directory` asks; everything seen is left there."""
    wanted = codec.decode(Examination, (directory / EXAMINATION).read_text())
    record, kernel_log = Record(kernel=platform.release()), KernelLog()
    try:
        _look(wanted, machine, directory, record, announce)
        record.state, record.reason = "ran", ""
    except NotRun as error:
        record.state, record.reason = "notrun", str(error)
    except mounts.MountHung as error:
        record.state, record.reason, record.hung = "ran", "", str(error)
    except (StepFailed, BlockStackError, OSError) as error:
        record.state, record.reason = "unknown", str(error)
    finally:
        lines = kernel_log.since()
        (directory / KERNEL_LOG).write_text("".join(f"{line}\n" for line in lines))
        record.alarms = alarms(lines)
        record.write(directory)
    return record


def _look(wanted: Examination, machine: Machine, directory: Path, record: Record, announce: Announce) -> None:
    row = filesystem(wanted.filesystem)
    if reason := filesystem_missing(row, machine.modules):
        raise NotRun(reason)
    with ExitStack() as stack:
        stack.enter_context(tools.logging_to(directory / COMMANDS))
        device = machine.disk
        if not device.is_block_device():
            device = stack.enter_context(LoopDevice(device)).path
        announce("mend")
        with ExitStack() as mounted:
            try:
                mount_point = _bring_up(wanted, row, device, machine, record, mounted)
            except BlockStackError as error:
                record.unmountable = str(error)
                return
            announce("judge")
            _read(mount_point, directory)
        record.checked.append(remount.check(row, device))


def _bring_up(
    wanted: Examination, row: Filesystem, device: Path, machine: Machine, record: Record, mounted: ExitStack
) -> Path:
    if row.recovery and wanted.crashed:
        record.checked.append(remount.recover(row.recovery, device, must=True))
    mount_point = machine.work / "mnt"
    mount_point.mkdir(exist_ok=True)
    options = (*row.mount_options, *wanted.mount_options, *row.copy_options)
    mounted.enter_context(mounts.mount(device, mount_point, row.type, options))
    return mount_point


def _read(mount_point: Path, directory: Path) -> None:
    records = list(read_ledger(directory / LEDGER))
    begin = records[0]
    assert isinstance(begin, ledger.Begin)  # the host refuses other ledgers
    files = [record for record in records if isinstance(record, ledger.File)]
    remount.observe(files, mount_point, directory, "cold", run=begin.run, page_bytes=begin.page_bytes)
