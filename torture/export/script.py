"""Writes the shell script that makes, breaks and mends what the C program works on. Pure."""

from __future__ import annotations

from torture.export.exportable import EIO, ENOSPC, KILL, POWER_CUT, Exportable
from torture.export.program import comment
from torture.export.quoting import SH, Code, joined, plain, template

PROGRAM, SCRIPT = "reproduce", "reproduce.sh"

_MOUNT = Code('mount -t @TYPE@ @OPTIONS@"$dm" "$mnt" || cannot_run mount')


def write_script(exportable: Exportable) -> Code:
    """The whole script, for sh."""
    recovery = exportable.filesystem.recovery if exportable.crashes else None
    options = SH.render(Code("-o @OPTIONS@ "), OPTIONS=exportable.mount_options) if exportable.mount_options else Code()
    mkfs = SH.render(Code("@WORDS@"), WORDS=exportable.mkfs)
    return SH.render(
        template("reproduce.sh.in"),
        ABOUT=SH.comment(_about(exportable)),
        COUNT=2 if exportable.needs_log else 1,
        DEVICES=_LOGGED if exportable.needs_log else _SIMPLE,
        PROGRAM=plain(PROGRAM),
        SECTORS=exportable.filesystem.size_mib * 2048,
        MKFS=mkfs,
        MOUNT=SH.render(_MOUNT, TYPE=exportable.filesystem.type, OPTIONS=options),
        FREE=exportable.free_blocks,
        RECOVERY=recovery.argv if recovery else (),
        CODES=joined((SH.render(Code("@CODE@"), CODE=code) for code in recovery.recovered), "|") if recovery else Code(),
        odd="'" in mkfs + options,
        log=exportable.needs_log,
        flakey=exportable.needs_flakey,
        swaps=exportable.crashes,
        full=ENOSPC in exportable.faults,
        eio=EIO in exportable.faults,
        cut=POWER_CUT in exportable.faults,
        gated=exportable.gated,
        killed=KILL in exportable.faults,
        recovers=recovery is not None,
        untouched=not exportable.crashes,
    )


_SIMPLE, _LOGGED = Code("DEVICE"), Code("DEVICE LOG-DEVICE")


def _about(exportable: Exportable) -> list[str]:
    return [
        *comment(exportable),
        "",
        f"Usage: sh {SCRIPT} {_LOGGED if exportable.needs_log else _SIMPLE}    as root; EVERYTHING THERE IS LOST.",
        f"It needs {exportable.filesystem.size_mib} MiB, dmsetup, {exportable.filesystem.mkfs[0]} and cc.",
        f'For a file: sh {SCRIPT} "$(losetup --find --show FILE)"',
        "",
        "Exit status: 1 reproduced, 0 not reproduced, 2 could not run.",
    ]
