"""What a block device is, beyond the name that it has today: stored with a run, so that going on with the run does not
wipe another device that has the name by then."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from devicemapper import in_use, loop
from torture.errors import BadRequest
from verify.stamp import SECTOR_BYTES

_WWID, _SERIAL = ("wwid", "device/wwid", "dm/uuid", "md/uuid"), ("serial", "device/serial", "device/cid")
_VPD_PAGE_80 = "device/vpd_pg80"


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What sysfs tells of a device (Documentation/ABI/stable/sysfs-block); "" or 0 for what it does not tell.

    Two devices are the same if all of it is equal, and something in it is the device's own (`is_unique`).
    """

    wwid: str
    """A name that no other device in the world has: of NVMe and SCSI, or the UUID of a dm or md device."""
    serial: str
    model: str
    size_bytes: int
    start_bytes: int
    """Where a partition begins on its disk; `wwid`, `serial` and `model` are the disk's."""
    partition: int
    """Its number, 0 for a whole disk."""
    loop_file: str
    """The file behind a loop device, its file system's number and inode included."""

    @property
    def is_unique(self) -> bool:
        """Whether it tells the device from any other one of the same size."""
        return bool(self.wwid or self.serial or self.loop_file)

    def differences(self, now: DeviceIdentity) -> tuple[str, ...]:
        """What is different about the device that has the name now: `FIELD was VALUE and is VALUE`, none if it may be the
        same."""
        values = [(field.name, getattr(self, field.name), getattr(now, field.name)) for field in fields(self)]
        return tuple(f"{name} was {was!r} and is {is_now!r}" for name, was, is_now in values if was != is_now)


def check_same(recorded: DeviceIdentity, before: Path, now: DeviceIdentity, device: Path) -> None:
    """BadRequest unless `device`, which is `now`, is the one that was recorded under the name `before`. Where nothing tells
    a device from others of its size, it must have its name too."""
    wrong = recorded.differences(now)
    if not wrong and not recorded.is_unique and device != before:
        wrong = (f"it was {str(before)!r}, and has no serial number by which to know it under another name",)
    if wrong:
        raise BadRequest(
            f"--destroy {device} is not the device that the run began on: {', '.join(wrong)}",
            "give that one, or start a new run",
        )


def identify(device: Path) -> DeviceIdentity:
    """The identity of a block device. OSError if it is gone."""
    system = in_use.system_directory(device.stat().st_rdev)
    partition = int(_first(system, "partition") or 0)
    disk = system.parent if partition else system
    return DeviceIdentity(
        wwid=_first(disk, *_WWID),
        serial=_first(disk, *_SERIAL) or _unit_serial(disk / _VPD_PAGE_80),
        model=_first(disk, "device/model", "device/name"),
        size_bytes=int((system / "size").read_text()) * SECTOR_BYTES,  # in sysfs always these, whatever the device's own
        start_bytes=int(_first(system, "start") or 0) * SECTOR_BYTES,
        partition=partition,
        loop_file=_loop_file(disk),
    )


def _first(system: Path, *names: str) -> str:
    """The first of these attributes that the device has and that is not empty."""
    for name in names:
        try:
            if text := (system / name).read_text(errors="replace").strip():
                return text
        except OSError:
            continue
    return ""


def _unit_serial(page: Path) -> str:
    """The serial number of a SCSI device: VPD page 0x80, four bytes of header, then text (SPC-4, 7.8.13)."""
    try:
        return page.read_bytes()[4:].decode("ascii", "replace").strip()
    except OSError:
        return ""


def _loop_file(disk: Path) -> str:
    if not (disk / "loop").is_dir():
        return ""
    file = loop.backing(in_use.node(disk))
    name = (disk / "loop/backing_file").read_text(errors="surrogateescape").removesuffix("\n")
    return f"{name} (device {file.block_number or file.device}, inode {file.inode})"
