"""EDQUOT by project quota: the directory of the files is a project that may use only a few blocks more."""

from __future__ import annotations

from itertools import chain

from torture.faults.space.over_quota import OverQuota
from torture.rig.quota import Kind, assign_project
from torture.rig.scene import Scene

_PROJECT = 42


class EdquotProject(OverQuota):
    """A quota of a directory tree, whoever owns the files; xfs says ENOSPC for it."""

    name = "edquot-project"
    meaning = "the project that the files belong to is at its quota but for a few blocks"
    kind = Kind.PROJECT

    def owner(self, scene: Scene) -> int:
        """Put the directory and all in it into the project."""
        files = scene.files_directory
        files.chmod(0o777)
        for path in chain((files,), files.iterdir()):
            assign_project(path, _PROJECT)
        return _PROJECT
