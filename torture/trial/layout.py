"""The files of a trial: laid out before the workers start, and where they lie in the end."""

from __future__ import annotations

from devicemapper import tools
from torture.rig.record import EXTENTS
from torture.rig.scene import Scene
from verify.descriptors import opened
from workloads import layouts, libc
from workloads.access import ACCESSES
from workloads.extents import extent_table

_EXTENTS_TIMEOUT_S = 120.0


def lay_out(scene: Scene) -> None:
    """Make the files of the plan in their layouts, what the access paths need, and have all of it on the disk."""
    plan, directory = scene.plan, scene.files_directory
    directory.mkdir()
    for file in plan.files:
        scene.files += layouts.create(
            file.layout,
            directory,
            file.name,
            file=file.file,
            pages=file.pages,
            page_bytes=plan.page_bytes,
            run=plan.stamp_run,
        )
    for spec in plan.workers:
        ACCESSES[spec.access].prepare(directory / spec.path, spec.first_page, spec.pages, plan.page_bytes)
    for record in scene.files:
        scene.ledger.append(record)
    with opened(scene.mount_point) as descriptor:  # ext2 and jfs lose directory entries if only files are synced
        libc.syncfs(descriptor)


def keep_extents(scene: Scene) -> None:
    """Where the files lie, for whoever looks at a finding. filefrag, a process, only where it knows more."""
    paths = [scene.files_directory / record.name for record in scene.files]
    present = [path for path in paths if path.exists()]
    try:
        text = "".join(map(extent_table, present))
    except OSError:  # no FIEMAP: filefrag tries FIBMAP, and says what it could not
        done = tools.run(["filefrag", "-v", *map(str, present)], timeout_s=_EXTENTS_TIMEOUT_S, ok=range(256))
        text = done.stdout + done.stderr
    (scene.directory / EXTENTS).write_text(text)
