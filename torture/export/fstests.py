"""`--fstests`: a test for fstests, its golden output, its helper program and the line for src/Makefile.

The test has the form of today's tree, or on request the names and the preamble of an old one. It calls functions of
fstests (common/preamble, common/rc, common/dmflakey, common/reflink).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from torture.export.exportable import EIO, ENOSPC, POWER_CUT, Exportable, cannot
from torture.export.program import comment, write_program
from torture.filesystems import filesystem

NUMBER = "999"
HELPER = "t_mlock_store"

_NEEDS = {
    "reflinked": "_require_scratch_reflink",
    "unwritten": '_require_xfs_io_command "falloc"',
    "keep-size": '_require_xfs_io_command "falloc" "-k"',
    "zero-range": '_require_xfs_io_command "fzero"',
}
_GROUPS = {"reflinked": "clone", "unwritten": "prealloc", "keep-size": "prealloc", "zero-range": "prealloc"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between an old tree and today's."""

    begin: str
    """The first lines of a test, after its comment."""
    end: str
    """Its last lines."""
    mount_flakey: str
    """The function that mounts a flakey device."""
    unmount_flakey: str
    late_sources: tuple[str, ...] = ()
    """Files below common/ that the preamble does not source."""
    claims: tuple[str, ...] = ()
    """Lines before what the test requires."""


_TODAY = Dialect(
    begin=". ./common/preamble\n_begin_fstest @GROUPS@",
    end="_exit 0",
    mount_flakey="_scratch_mount",
    unmount_flakey="_scratch_unmount",
)
_OLD = Dialect(
    begin="""\
seq=$(basename "$0")
seqres=$RESULT_DIR/$seq
echo "QA output created by $seq"

here=$(pwd)
tmp=${TMPDIR:-/tmp}/$$
status=1	# failure is the default!
trap "_cleanup; exit \\$status" 0 1 2 3 15""",
    end="status=0\nexit",
    mount_flakey="_mount_flakey",
    unmount_flakey="_unmount_flakey",
    late_sources=("rc",),
    claims=('rm -f "$seqres.full"', "", "_supported_fs @FSTYP@"),
)


def write_fstests(exportable: Exportable, directory: Path, *, old: bool) -> list[Path]:
    """Write the files below `directory` as they go below the root of fstests; their paths. Raises OSError,
    and BadRequest for crash states, which need a second device."""
    if exportable.needs_log:
        raise cannot("fault replay in fstests")
    home = directory / "tests" / _home(exportable)
    (directory / "src").mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    used_by = f"tests/{_home(exportable)}/{NUMBER}"
    groups = " ".join(_groups(exportable))
    texts = {
        home / NUMBER: write_test(exportable, old=old),
        home / f"{NUMBER}.out": f"QA output created by {NUMBER}\nSilence is golden\n",
        directory / "src" / f"{HELPER}.c": write_program(exportable, HELPER, used_by),
        directory / "src" / "Makefile.line": f"LINUX_TARGETS += {HELPER}\n",
        **({home / "group.line": f"{NUMBER} {groups}\n"} if old else {}),
    }
    for path, text in texts.items():
        path.write_text(text)
    (home / NUMBER).chmod(0o755)
    return list(texts)


def write_test(exportable: Exportable, *, old: bool) -> str:
    """The test itself, for bash."""
    dialect = _OLD if old else _TODAY
    head = [
        "#! /bin/bash",
        "# SPDX-License-Identifier: GPL-2.0",
        "#",
        f"# FS QA Test {NUMBER}",
        "#",
        *(f"# {line}".rstrip() for line in comment(exportable)),
        "#",
        "# fstests sets these variables and calls these functions:",
        "# shellcheck disable=SC1091,SC2034,SC2154,SC2317",
    ]
    parts = [
        "\n".join([*head, dialect.begin.replace("@GROUPS@", " ".join(_groups(exportable)))]),
        _cleanup(exportable),
        "\n".join(_sources(exportable, dialect)),
        "\n".join(_requirements(exportable, dialect)),
        _STEP,
        "\n".join(_body(exportable, dialect)),
        f'echo "Silence is golden"\n{dialect.end}',
    ]
    return "\n\n".join(parts) + "\n"


_STEP = f"""\
helper=$here/src/{HELPER}
files=$SCRATCH_MNT/files

step()
{{
	"$helper" "$1" "$tmp.state" "$files" || _fail "$1 failed"
}}"""


def _home(exportable: Exportable) -> str:
    """Options for mkfs or mount belong to one filesystem, so does the test then."""
    return exportable.filesystem.type if any(_options(exportable)) else "generic"


def _options(exportable: Exportable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What mkfs and mount are given beyond what only makes a small test quick."""
    plain = filesystem(exportable.plan.filesystem.partition(":")[0])
    row, plan = exportable.filesystem, exportable.plan
    mkfs = (*row.mkfs[len(plain.mkfs) :], *plan.mkfs_options)
    return mkfs, (*row.mount_options[len(plain.mount_options) :], *plan.mount_options)


def _layouts(exportable: Exportable) -> list[str]:
    return list(dict.fromkeys(file.layout for file in exportable.plan.files))


def _groups(exportable: Exportable) -> list[str]:
    groups = ["auto", "quick", "mmap"]
    groups += ["enospc"] if ENOSPC in exportable.faults else []
    groups += ["log"] if POWER_CUT in exportable.faults else []
    groups += ["eio"] if EIO in exportable.faults else []
    return list(dict.fromkeys([*groups, *(_GROUPS[layout] for layout in _layouts(exportable) if layout in _GROUPS)]))


def _cleanup(exportable: Exportable) -> str:
    lines = ["_cleanup()", "{", f'\t[ ! -s "$tmp.state" ] || "$here/src/{HELPER}" end "$tmp.state"']
    lines += ["\t_cleanup_flakey &> /dev/null"] if exportable.needs_flakey else []
    return "\n".join([*lines, "\tcd /", '\trm -r -f "$tmp".*', "}"])


def _sources(exportable: Exportable, dialect: Dialect) -> list[str]:
    names = [*dialect.late_sources, "filter"]
    names += ["dmflakey"] if exportable.needs_flakey else []
    names += ["reflink"] if "reflinked" in _layouts(exportable) else []
    return [f". ./common/{name}" for name in names]


def _requirements(exportable: Exportable, dialect: Dialect) -> list[str]:
    claims = [claim.replace("@FSTYP@", _home(exportable)) for claim in dialect.claims]
    needs = [_NEEDS[layout] for layout in _layouts(exportable) if layout in _NEEDS]
    flakey = "_require_flakey_with_error_writes" if EIO in exportable.faults else "_require_dm_target flakey"
    return [
        *claims,
        *(["_require_test"] if any("xfs_io" in need for need in needs) else []),
        "_require_scratch",
        f"_require_test_program {HELPER}",
        *([flakey] if exportable.needs_flakey else []),
        *needs,
    ]


def _body(exportable: Exportable, dialect: Dialect) -> list[str]:
    mkfs, mount_options = _options(exportable)
    lines = [f'MKFS_OPTIONS="$MKFS_OPTIONS {shlex.join(mkfs)}"'] if mkfs else []
    lines += [f'MOUNT_OPTIONS="$MOUNT_OPTIONS -o {",".join(mount_options)}"'] if mount_options else []
    size = f"$(({exportable.size_mib} * 1024 * 1024)) {exportable.filesystem.block_bytes}"
    lines += [f'_scratch_mkfs_sized {size} >> "$seqres.full" 2>&1 || _fail "mkfs failed"']
    if exportable.needs_flakey:
        lines += ['_require_metadata_journaling "$SCRATCH_DEV"', "_init_flakey", dialect.mount_flakey]
    else:
        lines += ["_scratch_mount"]
    full = f", and ballast until {exportable.free_blocks} blocks are left" if ENOSPC in exportable.faults else ""
    lines += ["", f"# Files{full}.", 'mkdir "$files"', "step lay-out", ""]
    if EIO in exportable.faults:
        lines += ["# Every write fails from now on.", '_load_flakey_table "$FLAKEY_ERROR_WRITES"', ""]
    lines += ["# Map, pin, store and sync; pins stay until the end.", "step work"]
    if POWER_CUT in exportable.faults:
        lines += ["", "# The power is cut.", "step cut", '_load_flakey_table "$FLAKEY_DROP_WRITES"']
    lines += ["step release"] if exportable.gated else []
    lines += ["step end"]
    if exportable.needs_flakey:
        lines += [dialect.unmount_flakey, '_load_flakey_table "$FLAKEY_ALLOW_WRITES"', dialect.mount_flakey]
    else:
        lines += ["_scratch_cycle_mount"]
    return [*lines, "", "# Says what is wrong, or nothing.", '"$helper" check "$tmp.state" "$files"']
