"""`--fstests`: a test for fstests, its golden output, its helper program and the line for src/Makefile.

The test has the form of today's tree, or on request the names and the preamble of an old one. It calls functions of
fstests (common/preamble, common/rc, common/dmflakey, common/reflink).
"""

from __future__ import annotations

from pathlib import Path

from torture.export.c import write_files
from torture.export.exportable import EIO, ENOSPC, POWER_CUT, Exportable, cannot
from torture.export.program import comment, write_program
from torture.export.quoting import SH, Code, joined, plain, template
from torture.filesystems import filesystem

NUMBER = "999"
HELPER = "t_mlock_store"

_NEEDS = {
    "reflinked": Code("_require_scratch_reflink"),
    "unwritten": Code('_require_xfs_io_command "falloc"'),
    "keep-size": Code('_require_xfs_io_command "falloc" "-k"'),
    "zero-range": Code('_require_xfs_io_command "fzero"'),
}
_GROUPS = {"reflinked": "clone", "unwritten": "prealloc", "keep-size": "prealloc", "zero-range": "prealloc"}


def write_fstests(exportable: Exportable, directory: Path, *, old: bool) -> list[Path]:
    """Write the files below `directory` as they go below the root of fstests; their paths. Raises OSError,
    and BadRequest for crash states, which need a second device."""
    if exportable.needs_log:
        raise cannot("fault replay in fstests")
    home = directory / "tests" / _home(exportable)
    used_by = f"tests/{_home(exportable)}/{NUMBER}"
    groups = " ".join(_groups(exportable))
    texts = {
        home / NUMBER: write_test(exportable, old=old),
        home / f"{NUMBER}.out": f"QA output created by {NUMBER}\nSilence is golden\n",
        directory / "src" / f"{HELPER}.c": write_program(exportable, HELPER, used_by),
        directory / "src" / "Makefile.line": f"LINUX_TARGETS += {HELPER}\n",
        **({home / "group.line": f"{NUMBER} {groups}\n"} if old else {}),
    }
    return write_files(texts, home / NUMBER)


def write_test(exportable: Exportable, *, old: bool) -> Code:
    """The test itself, for bash. fstests splits and evaluates options once more: BadRequest for those that are no plain
    words (common/rc, _scratch_do_mkfs and _scratch_mount)."""
    mkfs, mount_options = _options(exportable)
    needs = [_NEEDS[layout] for layout in _layouts(exportable) if layout in _NEEDS]
    flakey, eio = exportable.needs_flakey, EIO in exportable.faults
    names = ("_mount_flakey", "_unmount_flakey") if old and flakey else ("_scratch_mount", "_scratch_unmount")
    return SH.render(
        template("fstests.sh.in"),
        NUMBER=plain(NUMBER),
        HELPER=plain(HELPER),
        ABOUT=SH.comment(comment(exportable)),
        GROUPS=tuple(_groups(exportable)),
        HOME=_home(exportable),
        NEEDS=joined(needs),
        MKFS=joined(map(plain, mkfs), " "),
        MOUNT=joined(map(plain, mount_options), ","),
        MIB=exportable.filesystem.size_mib,
        BLOCK=exportable.filesystem.block_bytes,
        FREE=exportable.free_blocks,
        MOUNT_IT=names[0],
        UNMOUNT_IT=names[1],
        old=old,
        flakey=flakey,
        clones="reflinked" in _layouts(exportable),
        tries=any("xfs_io" in need for need in needs),
        needs=bool(needs),
        eio=eio,
        only_cut=flakey and not eio,
        cut=POWER_CUT in exportable.faults,
        mkfs=bool(mkfs),
        mount=bool(mount_options),
        full=ENOSPC in exportable.faults,
        gated=exportable.gated,
    )


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
