"""The faults by name. A new one is one class in one file here, and one entry in this table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torture.errors import BadRequest
from torture.faults.base import Fault
from torture.faults.canaries.corrupt_bio import CorruptBio
from torture.faults.canaries.corrupt_byte import CorruptByte
from torture.faults.canaries.corrupt_random import CorruptRandom
from torture.faults.canaries.exposed_block import ExposedBlock
from torture.faults.canaries.lying_disk import LyingDisk
from torture.faults.canaries.misdirected_write import MisdirectedWrite
from torture.faults.canaries.old_region import OldRegion
from torture.faults.canaries.stale_disk import StaleDisk
from torture.faults.canaries.torn_write import TornWrite
from torture.faults.canaries.zeroed_file import ZeroedFile
from torture.faults.io_errors.delay import Delay
from torture.faults.io_errors.dust import Dust
from torture.faults.io_errors.eio_data import EioData
from torture.faults.io_errors.eio_flapping import EioFlapping
from torture.faults.io_errors.eio_once import EioOnce
from torture.faults.io_errors.eio_reads import EioReads
from torture.faults.io_errors.eio_window import EioWindow
from torture.faults.io_errors.eio_writes import EioWrites
from torture.faults.limits.fsize_limit import FsizeLimit
from torture.faults.limits.kill_workers import KillWorkers
from torture.faults.limits.memlock_limit import MemlockLimit
from torture.faults.limits.oom_kill import OomKill
from torture.faults.nothing import Nothing
from torture.faults.power.delay_cut import DelayCut
from torture.faults.power.killed_guest import KilledGuest
from torture.faults.power.power_cut import PowerCut
from torture.faults.power.replay import ReplayedCrashStates
from torture.faults.power.shutdown import Shutdown
from torture.faults.space.edquot_project import EdquotProject
from torture.faults.space.edquot_qgroup import EdquotQgroup
from torture.faults.space.edquot_user import EdquotUser
from torture.faults.space.enospc import Enospc
from torture.faults.space.enospc_fragmented import EnospcFragmented
from torture.faults.space.enospc_metadata import EnospcMetadata
from torture.faults.space.enospc_race import EnospcRace
from torture.faults.space.snapshot_full import SnapshotFull
from torture.faults.space.thin_full import ThinFull
from torture.faults.space.thin_metadata import ThinMetadata
from torture.faults.space.thin_queue import ThinQueue
from torture.faults.undrawn.frozen import Frozen
from torture.faults.undrawn.grown import Grown
from torture.plan import FaultSpec
from verify.codec import shown

_TOGETHER = "+"
_NUMBER = re.compile(r"-?[0-9]{1,18}")

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        Nothing,
        Enospc,
        EnospcFragmented,
        EnospcRace,
        EnospcMetadata,
        EdquotUser,
        EdquotProject,
        ThinFull,
        ThinQueue,
        ThinMetadata,
        SnapshotFull,
        FsizeLimit,
        MemlockLimit,
        EioWrites,
        EioData,
        EioOnce,
        EioFlapping,
        EioReads,
        Dust,
        Delay,
        DelayCut,
        PowerCut,
        Shutdown,
        KillWorkers,
        KilledGuest,
        OomKill,
        ReplayedCrashStates,
        LyingDisk,
        StaleDisk,
        ZeroedFile,
        TornWrite,
        MisdirectedWrite,
        OldRegion,
        CorruptByte,
        CorruptBio,
        CorruptRandom,
        ExposedBlock,
    )
}


UNDRAWN: dict[str, type[Fault]] = {fault.name: fault for fault in (EdquotQgroup, EioWindow, Frozen, Grown)}
"""Faults that only plans made for them name (torture.contract): what a draw takes stays the same."""


def fault_class(name: str) -> type[Fault]:
    """The class called `name`; BadRequest names the faults there are."""
    if name not in FAULTS and name not in UNDRAWN:
        raise BadRequest(f"unknown fault {shown(name)}", f"known are {', '.join(FAULTS)}")
    return FAULTS.get(name) or UNDRAWN[name]


def spare_disk(chosen: Iterable[Fault]) -> bool:
    """Whether none of these faults makes the disk refuse or lose anything."""
    return not any(fault.targets or fault.canary or fault.may_lose_unsynced for fault in chosen)


def make(spec: FaultSpec) -> Fault:
    """The fault that a plan asks for; BadRequest for a parameter it does not take."""
    return fault_class(spec.name)(spec.parameters)


def parse(text: str) -> FaultSpec:
    """`NAME`, `NAME:KEY=NUMBER,KEY=NUMBER`, or several of these with `+` between, from the command line, checked."""
    specs = [_parse_one(part) for part in text.split(_TOGETHER)]
    if len(specs) == 1:
        return specs[0]
    parameters = {f"{spec.name}.{key}": value for spec in specs for key, value in spec.parameters.items()}
    return FaultSpec(_TOGETHER.join(spec.name for spec in specs), parameters)


def parts(spec: FaultSpec) -> tuple[FaultSpec, ...]:
    """The faults that a plan gets for what `parse` returned, in the order in which they are armed."""
    names = spec.name.split(_TOGETHER)
    if len(names) == 1:
        return (spec,)
    return tuple(FaultSpec(name, _own(name, spec.parameters)) for name in names)


def _own(name: str, parameters: Mapping[str, int | str]) -> dict[str, int | str]:
    return {key.partition(".")[2]: value for key, value in parameters.items() if key.partition(".")[0] == name}


def _parse_one(text: str) -> FaultSpec:
    name, _, rest = text.partition(":")
    parameters: dict[str, int | str] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not _NUMBER.fullmatch(value):
            raise BadRequest(f"cannot read {shown(pair)} in fault {shown(text)}", "the form is NAME:KEY=NUMBER,KEY=NUMBER")
        parameters[key] = int(value)
    spec = FaultSpec(name, parameters)
    make(spec)
    return spec
