"""setup/install.sh: looks at everything first, installs only what is missing, and does nothing twice."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.unit.setup.stand_in_machine import ROOT, SUDO, Machine
from torture.filesystems import FILESYSTEMS
from torture.lab import doctor

ADMINISTRATOR = "apt-get update && apt-get install --yes --no-install-recommends jfsutils xfsprogs"


def test_an_ordinary_user_needs_no_administrator_when_every_tool_is_there(machine: Machine) -> None:
    """No root and no sudo, yet the environment is made and apt is left alone."""
    done = machine.set_up()
    assert (done.returncode, machine.asked("apt-get")) == (0, [])
    assert "-m venv --clear .venv" in machine.asked("python")
    assert [asked for asked in machine.asked("python") if asked.endswith("--editable .[test]")]


@pytest.mark.parametrize("sudo_script", [None, "#!/bin/sh\nexit 1\n"], ids=["no sudo", "with a password"])
def test_without_root_one_message_has_the_command_and_nothing_is_changed(machine: Machine, sudo_script: str | None) -> None:
    """All missing packages stand in one command, and not even the environment is begun."""
    machine.lacks("mkfs.jfs")
    machine.lacks("mkfs.xfs")
    if sudo_script:
        machine.has("sudo", sudo_script)
    done = machine.set_up()
    assert done.returncode != 0
    assert done.stderr.count(ADMINISTRATOR) == 1 and "Nothing was changed" in done.stderr
    assert (machine.asked("apt-get"), machine.installed()) == ([], False)


def test_root_installs_only_what_is_missing_and_says_why(machine: Machine) -> None:
    """Non-interactive, without recommendations, after an update."""
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.lacks("mkfs.jfs")
    done = machine.set_up()
    update, install = machine.asked("apt-get")
    assert done.returncode == 0 and machine.installed()
    assert "jfsutils (mkfs.jfs: jfs)" in done.stderr and "xfsprogs" not in done.stderr
    assert " update " in update
    assert install.endswith("install --quiet --yes --no-install-recommends jfsutils")
    assert "frontend=noninteractive" in install


def test_sudo_without_a_password_is_as_good_as_root(machine: Machine) -> None:
    """Only apt-get runs as root."""
    machine.has("sudo", SUDO)
    machine.lacks("fio")
    assert machine.set_up().returncode == 0
    assert machine.asked("apt-get")[1].endswith(" fio")
    assert all("apt-get" in asked or asked == "-n true" for asked in machine.asked("sudo"))


def test_a_failing_apt_ends_the_set_up(machine: Machine) -> None:
    """Nothing is built on half the packages."""
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", "#!/bin/sh\nexit 100\n")
    machine.lacks("fio")
    done = machine.set_up()
    assert done.returncode != 0 and "apt-get update failed" in done.stderr and not machine.installed()


def test_a_package_that_the_distribution_lacks_is_said_and_done_without(machine: Machine) -> None:
    """User-mode Linux exists for x86 only: the rest of the tool still installs."""
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-cache", "#!/bin/sh\necho '  Candidate: (none)'\n")
    machine.lacks("linux.uml")
    done = machine.set_up()
    assert done.returncode == 0 and machine.installed()
    assert "going on without user-mode-linux" in done.stderr
    assert not [asked for asked in machine.asked("apt-get") if "install" in asked]


def test_elsewhere_than_debian_the_missing_tools_are_named(machine: Machine) -> None:
    """No apt-get: the message names tool and use, and nothing is changed."""
    machine.lacks("apt-get")
    machine.lacks("mkfs.btrfs")
    done = machine.set_up()
    assert done.returncode != 0 and not machine.installed()
    assert "not Debian" in done.stderr and "btrfs-progs (mkfs.btrfs: btrfs)" in done.stderr
    assert "xfsprogs" not in done.stderr


def test_elsewhere_than_debian_it_works_when_every_tool_is_there(machine: Machine) -> None:
    """apt-get is asked for only when something is missing."""
    machine.lacks("apt-get")
    assert machine.set_up().returncode == 0


def test_a_python_too_old_is_refused_before_anything_is_changed(machine: Machine) -> None:
    """A named interpreter is never silently replaced by another."""
    machine.has("old", "#!/bin/sh\nexit 1\n")
    done = machine.set_up(PYTHON="old")
    assert done.returncode != 0 and not machine.installed()
    assert "PYTHON=old is no Python 3.11 or newer" in done.stderr


def test_the_second_run_finds_nothing_to_do(machine: Machine) -> None:
    """It asks neither Python nor apt, and takes far less than the five seconds allowed."""
    assert machine.set_up().returncode == 0
    begin = time.monotonic()
    again = machine.set_up()
    assert time.monotonic() - begin < 5
    assert (again.returncode, again.stderr, machine.log.read_text()) == (0, "", "")


@pytest.mark.parametrize("source", ["pyproject.toml", "setup.py", "verify/_core.c"])
def test_a_changed_source_is_installed_again_into_the_same_environment(machine: Machine, source: str) -> None:
    """The environment itself is kept."""
    machine.set_up()
    later = time.time() + 10
    os.utime(machine.tree / source, (later, later))
    assert machine.set_up().returncode == 0
    assert _pip_ran(machine) and "-m venv --clear .venv" not in machine.asked("python")


def test_native_code_that_is_gone_is_built_again(machine: Machine) -> None:
    """For instance after git clean."""
    machine.set_up()
    (machine.tree / "verify/_core.abi3.so").unlink()
    assert machine.set_up().returncode == 0
    assert (machine.tree / "verify/_core.abi3.so").exists()


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    """An environment without everything in it never counts as set up."""
    working = (machine.programs / "python").read_text()
    machine.has("python", working.replace("touch verify", "exit 1; touch verify"))
    failed = machine.set_up()
    assert failed.returncode != 0 and "pip failed" in failed.stderr
    (machine.tree / ".venv/bin/python").write_text(working)
    assert machine.set_up().returncode == 0 and _pip_ran(machine)


def test_an_environment_that_was_moved_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    """The programs in it name their interpreter by its old path."""
    machine.set_up()
    moved = Machine(machine.tree.rename(tmp_path / "moved"), machine.programs, machine.log)
    assert moved.set_up().returncode == 0
    assert "-m venv --clear .venv" in moved.asked("python")


def test_a_machine_without_a_kernel_gets_one_for_the_qemu_lab_once(machine: Machine) -> None:
    """It is unpacked in the environment, not installed; a kernel in /boot, which nothing here can take away, is enough."""
    if any(Path("/boot").glob("vmlinuz-*")):
        pytest.skip("this machine has a kernel in /boot")
    assert machine.set_up("qemu").returncode == 0
    assert [asked for asked in machine.asked("apt-get") if "linux-image-1.0" in asked]
    assert [path.name for path in (machine.tree / ".venv/linux-image").rglob("*") if path.is_file()] == ["vmlinuz-1.0"]
    assert machine.set_up("qemu").returncode == 0 and not machine.asked("apt-get")


def test_only_the_qemu_lab_needs_its_programs(machine: Machine) -> None:
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.lacks("busybox")
    assert machine.set_up().returncode == 0 and not machine.asked("apt-get")
    assert machine.set_up("qemu").returncode == 0
    assert [asked for asked in machine.asked("apt-get") if asked.endswith(" busybox-static")]


def test_every_tool_that_doctor_asks_for_is_set_up() -> None:
    """The tables of the tool and of the set-up name the same Debian packages."""
    rows = re.findall(r"^\t\t[^|]+\|([^|]+)\|", (ROOT / "setup/install.sh").read_text(), re.MULTILINE)
    asked = {*doctor.TOOLS.values(), *(filesystem.package for filesystem in FILESYSTEMS.values())}
    assert asked <= set(rows)


def _pip_ran(machine: Machine) -> bool:
    return any(asked.startswith("-m pip install") for asked in machine.asked("python"))
