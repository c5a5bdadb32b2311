"""Boots a User-mode Linux guest that runs test_devicemapper_kernel.py, as most machines' kernels lack device-mapper."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_BOOT_TIMEOUT_S = 180
_MODULES = Path("/usr/lib/uml/modules")
_INSIDE = Path(__file__).with_name("test_devicemapper_kernel.py")
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/out /run/modules/lib
mount -t hostfs -o {out} none /run/out
ln -s {modules} /run/modules/lib/modules
for module in loop dm-mod dm-flakey dm-zero; do modprobe -d /run/modules $module; done
cd {root}
{python} -m pytest -q -ra -p no:cacheprovider {inside} >/run/out/report 2>&1
echo $? >/run/out/exit_code
halt -f
"""


@pytest.mark.guest
@pytest.mark.skipif(not shutil.which("linux.uml"), reason="linux.uml is not installed (Debian package user-mode-linux)")
def test_device_mapper_in_a_real_kernel(tmp_path: Path) -> None:
    init = tmp_path / "init"
    words = {"out": tmp_path, "modules": _MODULES, "root": _INSIDE.parents[2], "python": sys.executable}
    init.write_text(_INIT.format(inside=shlex.quote(str(_INSIDE)), **{k: shlex.quote(str(v)) for k, v in words.items()}))
    init.chmod(0o755)
    console = _boot(init, tmp_path)
    report = (tmp_path / "report").read_text() if (tmp_path / "report").exists() else ""
    print(report)
    assert (tmp_path / "exit_code").exists(), f"the guest did not finish:\n{console[-3000:]}\n{report[-3000:]}"
    assert (tmp_path / "exit_code").read_text().strip() == "0", report
    assert "skipped" not in report.splitlines()[-1]


def _boot(init: Path, directory: Path) -> str:
    """Run a guest to its end; its console. Killing the main process only would leave helpers behind."""
    kernel = ["linux.uml", "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]
    kernel += [f"init={init}", "con=null", "con0=fd:0,fd:1", f"uml_dir={directory}"]
    shim = find_spec("torture.lab._xstate")
    environment = {**os.environ, "LD_PRELOAD": str(shim.origin)} if shim else None
    guest = subprocess.Popen(
        kernel,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
        text=True,
        errors="replace",
    )
    try:
        return guest.communicate(timeout=_BOOT_TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(guest.pid, signal.SIGKILL)
        return guest.communicate()[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guest.pid, signal.SIGKILL)
