"""A bare guest: a User-mode Linux kernel whose first process is a shell script, with nothing of the tool in it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

PACKAGED_KERNEL = "linux.uml"
DISK_MIB = 320
_TIMEOUT_S = 100
_MODULES = Path("/usr/lib/uml/modules")
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run DM_DISABLE_UDEV=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/out /run/modules/lib
mount -t hostfs -o {out} none /run/out
ln -s {modules} /run/modules/lib/modules
for module in dm-mod dm-flakey dm-log-writes; do modprobe -q -d /run/modules $module; done
cd /run/out
sh ./script >/run/out/output 2>&1
halt -f
"""


def boot(directory: Path, script: str, *, kernel: str = PACKAGED_KERNEL, arguments: tuple[str, ...] = ()) -> str:
    """Run a shell script as root in a guest, in `directory`, with disks at /dev/ubda and /dev/ubdb; what it printed."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "script").write_text(script)
    init = directory / "init"
    words = {"out": shlex.quote(str(directory)), "modules": shlex.quote(str(_MODULES))}
    init.write_text(_INIT.format(**words))
    init.chmod(0o755)
    disks = [directory / "disk.img", directory / "log.img"]
    for disk in disks:
        with open(disk, "xb") as hole:
            hole.truncate(DISK_MIB << 20)
    _run([str(shutil.which(kernel) or kernel), *_arguments(directory, init, disks), *arguments], directory)
    for disk in disks:
        disk.unlink()
    output = directory / "output"
    assert output.exists(), f"the guest did not start: {(directory / 'console').read_text()[-3000:]}"
    return output.read_text()


def _arguments(directory: Path, init: Path, disks: list[Path]) -> list[str]:
    root = ["mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]
    given = [f"ubd{number}t={disk}" for number, disk in enumerate(disks)]
    return [*root, f"init={init}", "con=null", "con0=null,fd:1", f"uml_dir={directory}", *given]


def _run(command: list[str], directory: Path) -> None:
    """Killing the main process only would leave its helpers behind: the whole session ends."""
    shim = find_spec("torture.lab._xstate")
    environment = {**os.environ, "LD_PRELOAD": str(shim.origin)} if shim else None
    with open(directory / "console", "wb") as console:
        guest = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env=environment,
        )
    try:
        guest.wait(_TIMEOUT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guest.pid, signal.SIGKILL)
        guest.wait()
