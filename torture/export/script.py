"""Writes the shell script that makes, breaks and mends what the C program works on. Pure."""

from __future__ import annotations

from torture.export.exportable import EIO, ENOSPC, KILL, POWER_CUT, Exportable
from torture.export.program import comment

PROGRAM, SCRIPT = "reproduce", "reproduce.sh"

_START = """\
set -u
if [ $# -ne @COUNT@ ] || [ ! -b "$1" ]; then
	echo "usage: $0 @DEVICES@ (everything on them is lost)" >&2
	exit 2
fi
device=$1
@LOG@name=torture-export-$$
dm=/dev/mapper/$name
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 2
mnt=$work/mnt
state=$work/state		# what was promised: never on the filesystem under test

cannot_run()
{
	echo "could not run: $*" >&2
	exit 2
}

step()
{
	"$program" "$1" "$state" "$mnt/files" || cannot_run "$program $1"
}
"""

_CLEAN_UP = """
# shellcheck disable=SC2317
clean_up()
{
	[ ! -s "$state" ] || "$program" end "$state"
	dmsetup resume "$name"
	umount "$mnt"
	dmsetup remove --retry "$name"
	rm -rf "$work"
} >/dev/null 2>&1
trap clean_up EXIT
trap 'exit 2' HUP INT TERM
"""

_COMPILE = """
program=$here/@PROGRAM@
if [ ! -x "$program" ]; then
	program=$work/@PROGRAM@
	cc -O2 -Wall -o "$program" "$here/@PROGRAM@.c" || cannot_run cc
fi
"""

_SWAP = """
# Without --nolockfs the filesystem would be frozen and synced first.
swap()
{
	dmsetup suspend --nolockfs "$name" || cannot_run dmsetup suspend
	dmsetup load "$name" --table "$1" || cannot_run dmsetup load
	dmsetup resume "$name" || cannot_run dmsetup resume
}
"""


_FLUSH = 'sync "$dm" || cannot_run sync\t# a flush of the device: all this counts as durable'


def write_script(exportable: Exportable) -> str:
    """The whole script, for sh."""
    head = ["#!/bin/sh", "# SPDX-License-Identifier: GPL-2.0", "#", *(f"# {line}".rstrip() for line in _about(exportable))]
    swap = _SWAP.strip("\n") + "\n" if exportable.needs_flakey or exportable.needs_log else ""
    parts = [
        "\n".join(head) + "\n",
        _start(exportable),
        swap,
        _CLEAN_UP,
        _COMPILE.replace("@PROGRAM@", PROGRAM),
        _steps(exportable),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _start(exportable: Exportable) -> str:
    """What it is given; the log needs a disk of its own."""
    count, log = (2, "log=$2\n") if exportable.needs_log else (1, "")
    return _START.replace("@COUNT@", str(count)).replace("@DEVICES@", _devices(exportable)).replace("@LOG@", log)


def _devices(exportable: Exportable) -> str:
    return "DEVICE LOG-DEVICE" if exportable.needs_log else "DEVICE"


def _about(exportable: Exportable) -> list[str]:
    needs = f"dmsetup, {exportable.filesystem.mkfs[0]} and cc"
    return [
        *comment(exportable),
        "",
        f"Usage: sh {SCRIPT} {_devices(exportable)}    as root; EVERYTHING THERE IS LOST.",
        f"It needs {exportable.size_mib} MiB, {needs}.",
        "For a file: sh " + SCRIPT + ' "$(losetup --find --show FILE)"',
        "",
        "Exit status: 1 reproduced, 0 not reproduced, 2 could not run.",
    ]


def _steps(exportable: Exportable) -> str:
    sectors = exportable.size_mib * 2048
    healthy = f"0 {sectors} flakey $device 0 180 0 0" if exportable.needs_flakey else f"0 {sectors} linear $device 0"
    first = f"0 {sectors} log-writes $device $log" if exportable.needs_log else "$healthy"
    options = f"-o {exportable.mount_options} " if exportable.mount_options else ""
    mount = f'mount -t {exportable.filesystem.type} {options}"$dm" "$mnt" || cannot_run mount'
    lines = [
        "# A filesystem on a device that can be broken.",
        f'healthy="{healthy}"',
        f'dmsetup create "$name" --table "{first}" || cannot_run dmsetup create',
        "dmsetup mknodes\t\t# where there is no udev",
        f'{exportable.mkfs} "$dm" >/dev/null || cannot_run mkfs',
        'mkdir "$mnt" || cannot_run mkdir',
        mount,
        "",
        *_lay_out(exportable),
        'mkdir "$mnt/files" || cannot_run mkdir',
        "step lay-out",
        *([_FLUSH] if exportable.needs_log else []),
        "",
        *_work(exportable),
        *_end(exportable),
        "",
        *_mend(exportable),
        mount,
        "",
        '"$program" check "$state" "$mnt/files"',
        "result=$?",
        *_verdict(),
    ]
    return "\n".join(lines)


def _lay_out(exportable: Exportable) -> list[str]:
    if ENOSPC in exportable.faults:
        return [f"# Files, and then ballast until {exportable.free_blocks} blocks are left."]
    return ["# Files, all of it synced."]


def _work(exportable: Exportable) -> list[str]:
    lines = ["# Map, pin, store and sync; returns when all is done, and pins stay."]
    if EIO in exportable.faults:
        swap = f'swap "0 {exportable.size_mib * 2048} flakey $device 0 0 180 1 error_writes"'
        lines = ["# Every write fails from now on.", swap, "", *lines]
    return [*lines, "step work"]


def _end(exportable: Exportable) -> list[str]:
    lines: list[str] = []
    if POWER_CUT in exportable.faults:
        drop = f'swap "0 {exportable.size_mib * 2048} flakey $device 0 0 180 1 drop_writes"'
        lines += ["", "# The power is cut: from now on every write is dropped.", "step cut", drop]
    if exportable.needs_log:
        mark = 'dmsetup message "$name" 0 mark crash || cannot_run dmsetup message'
        lines += ["", "# Here the machine will have crashed.", "step cut", mark]
    if exportable.gated:
        lines += ["step release"]
    ends = ["step end", 'umount "$mnt" || cannot_run umount']
    if KILL in exportable.faults:
        ends.insert(0, "# Killed while everything is mapped and pinned.")
    return [*lines, *ends]


def _mend(exportable: Exportable) -> list[str]:
    lines = ["# The power is back: what is on the disk?"] if POWER_CUT in exportable.faults else []
    if exportable.needs_log:
        lines.append("# Back to the crash: only what a flush or FUA had made durable is on the disk.")
    if exportable.needs_flakey or exportable.needs_log:
        lines.append('swap "$healthy"')
    if exportable.needs_log:
        lines.append('"$program" replay "$state" "$log" "$dm" || cannot_run "$program replay"')
    recovery = exportable.filesystem.recovery
    if recovery and exportable.crashes:
        argv = " ".join(recovery.argv)
        codes = "|".join(map(str, recovery.recovered))
        lines += [f'{argv} "$dm" >/dev/null', f'case $? in {codes}) ;; *) cannot_run "{argv}" ;; esac']
    return lines or ["# Nothing of it is in the cache any more."]


def _verdict() -> list[str]:
    return [
        '[ "$result" -eq 1 ] && echo "reproduced"',
        '[ "$result" -eq 0 ] && echo "not reproduced"',
        'exit "$result"',
    ]
