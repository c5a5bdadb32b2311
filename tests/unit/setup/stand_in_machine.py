"""A machine made of stand-ins: its PATH is one directory, where programs come and go."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ORDINARY = "sh bash env dirname id cut sort tr sed grep find xargs touch mv rm mkdir ls cat cp chmod true make"

PYTHON = """#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in
"-c import sys; print(sys.executable)")
    echo "$0" ;;
"-m venv --clear .venv")
    rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python
    echo "#!$PWD/.venv/bin/python" >.venv/bin/pip ;;
"-m pip install "*)
    touch verify/_core.abi3.so && cp /bin/true .venv/bin/torture ;;
*) exec {real} "$@" ;;
esac
"""
SUDO = """#!/bin/sh
echo "sudo $*" >>"$LOG"
[ "$1" = -n ] || exit 1
shift
exec "$@"
"""
APT_GET = """#!/bin/sh
echo "apt-get frontend=$DEBIAN_FRONTEND $*" >>"$LOG"
case "$*" in
"-qq download "*) touch $3.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
mkdir $3/boot && touch $3/boot/vmlinuz-1.0
"""
APT_CACHE = """#!/bin/sh
echo "$2:"
case $1 in
depends) echo "  Depends: linux-image-1.0" ;;
*) echo "  Candidate: 1.0" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A project tree and a PATH in temporary directories; what the stand-ins were asked is in `log`."""

    tree: Path
    programs: Path
    log: Path

    def has(self, name: str, script: str = "#!/bin/sh\n") -> None:
        """Put a program on the PATH."""
        self.lacks(name)
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def lacks(self, name: str) -> None:
        """Take a program off the PATH."""
        (self.programs / name).unlink(missing_ok=True)

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree, seeing this machine only."""
        seen = {"PATH": str(self.programs), "SBIN": "", "LOG": str(self.log), "HOME": str(self.tree)}
        seen["PYTHON"] = str(self.programs / "python")
        return subprocess.run(argv, cwd=self.tree, env=seen | environment, capture_output=True, text=True, timeout=60)

    def set_up(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up script, forgetting what earlier runs asked of the stand-ins."""
        self.log.write_text("")
        return self.run("sh", "setup/install.sh", *arguments, **environment)

    def asked(self, program: str) -> list[str]:
        """The argument lists that a stand-in got."""
        return re.findall(rf"^{program} (.*)$", self.log.read_text(), re.MULTILINE)

    def installed(self) -> bool:
        """Whether the environment was made."""
        return (self.tree / ".venv").exists()


def debian_machine(directory: Path) -> Machine:
    """A Debian machine with every tool there, an ordinary user without sudo, nothing set up yet."""
    machine = Machine(directory / "tree", directory / "programs", directory / "log")
    machine.programs.mkdir()
    machine.log.touch()
    _grow_tree(machine.tree)
    for name in ORDINARY.split():
        found = shutil.which(name)
        assert found, f"{name} is needed to test the set-up"
        (machine.programs / name).symlink_to(found)
    needs = (ROOT / "setup/install.sh").read_text()
    for program in re.findall(r"^\t\t([a-z][\w.-]*)\|", needs, re.MULTILINE):
        machine.has(program)
    machine.has("id", "#!/bin/sh\necho 1000\n")
    machine.has("python", PYTHON.format(real=sys.executable))
    machine.has("apt-get", APT_GET)
    machine.has("apt-cache", APT_CACHE)
    machine.has("dpkg-deb", DPKG_DEB)
    return machine


def _grow_tree(tree: Path) -> None:
    for package in ("verify", "workloads", "devicemapper", "torture"):
        (tree / package).mkdir(parents=True)
    for source in ("verify/_core.c", "pyproject.toml", "setup.py"):
        (tree / source).touch()
        os.utime(tree / source, (1, 1))
    shutil.copytree(ROOT / "setup", tree / "setup")
    shutil.copy(ROOT / "Makefile", tree)
