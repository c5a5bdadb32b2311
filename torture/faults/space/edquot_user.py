"""EDQUOT by user quota: the user that the workers run as owns the files, and may use only a few blocks more."""

from __future__ import annotations

import os

from torture.faults.space.over_quota import OverQuota
from torture.rig.quota import Kind
from torture.rig.scene import Scene


class EdquotUser(OverQuota):
    """The files are given to the workers' user."""

    name = "edquot-user"
    meaning = "the user who owns the files is at its quota but for a few blocks"
    kind = Kind.USER

    def owner(self, scene: Scene) -> int:
        """Chown the directory and all in it."""
        files = scene.files_directory
        for path in (files, *files.iterdir()):
            os.chown(path, scene.uid, scene.gid)
        return scene.uid
