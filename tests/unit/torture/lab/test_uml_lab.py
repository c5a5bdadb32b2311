"""The `uml` lab without a guest: which kernels it takes, and how its guests are told where things are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemapper import tools
from torture.errors import BadRequest
from torture.lab.disk import make_guest_home
from torture.lab.guest_lab import one_word
from torture.lab.run_id import Hold, new_run_id
from torture.lab.uml import PACKAGED_KERNEL, UmlLab

check_kernel = UmlLab.check_kernel
MARKS = b"Linux version 6.1 \0 uml_dir=<directory>"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, which guests' users may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="torture-test-") as made:
        Path(made).chmod(0o755)
        monkeypatch.chdir(made)
        yield Path(made)


def program(path: Path, source: str) -> Path:
    """A compiled program that says it is User-mode Linux."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    marks = 'const char mark[] = "Linux version 6.1"; const char option[] = "uml_dir=<directory>";\n'
    code = f"#include <stdio.h>\n#include <unistd.h>\n#include <fcntl.h>\n{marks}int main(void) {{ {source} }}\n"
    subprocess.run([compiler, "-x", "c", "-", "-o", str(path)], input=code, text=True, check=True)
    return path


def test_a_kernel_is_a_path_and_no_program_of_the_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--kernel linux` once looked at the file, and started a program of that name from the PATH."""
    found = place / "bin"
    found.mkdir()
    program(found / "linux", 'puts("6.1"); close(open("ran", O_CREAT | O_WRONLY, 0666)); return 0;')
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")
    with pytest.raises(BadRequest, match="no such file"):
        check_kernel("linux")
    program(place / "linux", 'puts("6.2"); return 0;')
    assert check_kernel("linux") == str(place / "linux")
    assert not (place / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\ntouch ran\n", b"\x7fELF", b"MZ" + MARKS])
def test_what_does_not_look_like_one_is_never_started(place: Path, content: bytes) -> None:
    file = place / "kernel"
    file.write_bytes(content)
    file.chmod(0o755)
    with pytest.raises(BadRequest, match="is not a User-mode Linux kernel"):
        check_kernel("kernel")
    assert not (place / "ran").exists()


def test_what_only_looks_like_one_can_write_nowhere(place: Path) -> None:
    place.chmod(0o777)
    program(place / "kernel", f'puts("6.1"); return open("{place}/ran", O_CREAT | O_WRONLY, 0666) < 0 ? 7 : 0;')
    with pytest.raises(BadRequest, match="does not answer --version"):
        check_kernel("kernel")
    assert not (place / "ran").exists()


def test_the_packaged_one_is_one() -> None:
    path = shutil.which(PACKAGED_KERNEL)
    if not path:
        pytest.skip(f"{PACKAGED_KERNEL} is not installed")
    assert check_kernel(path) == str(Path(path).resolve())


def test_one_that_guests_may_not_start_is_refused(place: Path) -> None:
    file = program(place / "kernel", "return 0;")
    file.chmod(0o600 if os.geteuid() else 0o700)
    with pytest.raises(BadRequest, match=r"chmod a\+rx kernel"):
        check_kernel("kernel")


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60))
def test_a_script_survives_the_command_line_of_a_kernel(text: str) -> None:
    """The kernel splits at blanks outside of double quotes, and takes quotes off the ends of a word."""
    quoted = "'" + text.replace("'", "'\\''") + "'"
    word = one_word(f"printf %s {quoted}")
    assert not any(character.isspace() or not character.isascii() for character in word)
    assert not word.startswith('"')
    assert "=" not in word
    said = subprocess.run(["sh", "-c", word], capture_output=True, check=True)
    assert said.stdout == text.encode()


@pytest.mark.parametrize("name", ["my disk", "a,b", "x=y", "quo\"te's", "größe", "$HOME", "line\nbreak", "100%\\n"])
def test_no_path_of_the_host_is_on_the_command_line(name: str, tmp_path: Path) -> None:
    """`--scratch "/d/my disk"` once formatted the file /d/my."""
    lab = UmlLab("run", tmp_path / name / "results", tmp_path / name / "scratch")
    arguments = " ".join(lab._arguments(7)).split()
    assert [word for word in arguments if word.startswith("ubd")] == [
        "ubd0t=disk.img",
        "ubd1t=spare-1.img",
        "ubd2t=spare-2.img",
    ]
    assert not any(str(tmp_path) in word for word in arguments)
    assert lab.unavailable() in ("", str(tools.CommandMissing(PACKAGED_KERNEL)))


def test_other_users_may_pass_through_a_home_whatever_the_umask(tmp_path: Path) -> None:
    """Under umask 077 each trial of the local lab was unknown: the workers could not reach their files."""
    before = os.umask(0o077)
    try:
        with Hold(run := new_run_id(), tmp_path):
            home = make_guest_home(tmp_path, run, 0)
            modes = [place.stat().st_mode & 0o777 for place in (home, home.parent)]
    finally:
        os.umask(before)
    assert modes == [0o711, 0o711 if os.geteuid() == 0 else 0o700]
