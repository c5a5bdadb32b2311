"""A real kernel tells the listener of an error that ext4 met; nothing else of the mount is heard."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.guest import bare

pytestmark = pytest.mark.guest
_LISTEN = """
import sys
from pathlib import Path
from torture.rig.fs_errors import FsErrors
with FsErrors() as listener:
    listener.watch(Path("/run/a"))
    Path("/run/a/file").write_text("no error")
    print("before", list(listener.heard()), listener.missing)
    Path("/sys/fs/ext4/ubda/trigger_fs_error").write_text("for the test")
    print("after", list(listener.heard()))
"""


@pytest.mark.skipif(not shutil.which("linux.uml"), reason="linux.uml is not installed (Debian package user-mode-linux)")
def test_an_error_of_ext4_is_heard(tmp_path: Path) -> None:
    python = f"PYTHONPATH={shlex.quote(str(Path(__file__).parents[2]))} {shlex.quote(sys.executable)}"
    script = f"mkfs.ext4 -q -F /dev/ubda; mkdir /run/a; mount -t ext4 /dev/ubda /run/a; {python} -c {shlex.quote(_LISTEN)}"
    said = bare.boot(tmp_path / "guest", f"{script}; umount /run/a")
    assert "before [] \n" in said, said
    assert "after [FsError(errno=117, count=1)]" in said, said
