"""The `qemu` lab without a guest: which kernels it takes, what it says it lacks, and what it asks qemu for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torture.errors import BadRequest
from torture.lab import qemu
from torture.lab.choose import QEMU, UML, lab_for
from torture.lab.qemu import QemuLab, has_kvm, is_boot_image

HEADER = bytes(0x202) + b"HdrS"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What begins like a bzImage."""
    path = tmp_path / "bzImage"
    path.write_bytes(HEADER)
    return path


def lab(home: Path, kernel: str = "") -> QemuLab:
    return QemuLab("run", home / "results", home / "scratch", kernel)


def test_the_kernel_decides_the_lab(image: Path, tmp_path: Path) -> None:
    assert (lab_for(str(image)), lab_for(""), lab_for("/bin/ls"), lab_for(str(tmp_path))) == (QEMU, UML, UML, UML)


@pytest.mark.parametrize("content", [None, b"\x7fELF", HEADER[:-1]])
def test_what_does_not_boot_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "kernel"
    if content is not None:
        path.write_bytes(content)
    assert not is_boot_image(str(path))
    with pytest.raises(BadRequest, match="give the path of a bzImage"):
        QemuLab.check_kernel(str(path))


def test_an_image_is_taken_by_its_absolute_path(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image.parent)
    assert QemuLab.check_kernel("bzImage") == str(image)


def test_the_kernel_of_this_machine_comes_before_one_that_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, fetched = tmp_path / "boot", tmp_path / "fetched"
    monkeypatch.setattr(qemu, "_IMAGES", (own, fetched))
    assert QemuLab.default_kernel() == ""
    for place, name in ((fetched, "vmlinuz-9.9"), (own, "vmlinuz-6.1"), (own, f"vmlinuz-{os.uname().release}")):
        place.mkdir(exist_ok=True)
        (place / name).touch()
        assert QemuLab.default_kernel() == str(place / name)


@pytest.mark.parametrize(
    ("program", "brought_by"),
    [
        ("qemu-system-x86_64", "Debian package qemu-system-x86"),
        ("busybox", "Debian package busybox-static"),
        ("virtme-run", "virtme-ng on PyPI"),
    ],
)
def test_what_is_missing_is_said_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, brought_by: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(qemu, "_find", lambda name: "" if name == program else name)
    assert lab(tmp_path, "kernel").unavailable() == f"{program} is not installed ({brought_by})"


def test_without_a_kernel_there_is_no_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_find", str)
    monkeypatch.setattr(qemu, "_IMAGES", (tmp_path,))
    assert "none was named" in lab(tmp_path).unavailable()
    assert lab(tmp_path, "kernel").unavailable() == ""


@pytest.mark.parametrize("name", ["my disk", "a,b", "x=y", 'quo"te', "größe"])
def test_no_path_of_the_host_is_an_option_that_qemu_takes_apart(name: str, tmp_path: Path) -> None:
    """Such paths were refused."""
    assert lab(tmp_path / name, "kernel").unavailable() == lab(tmp_path, "kernel").unavailable()
    options = [word for word in qemu._devices(7) if "path=" in word or "file=" in word]
    assert len(options) == 4
    assert not any("/" in word for word in options)


def test_a_path_that_virtme_run_would_take_apart_is_refused(tmp_path: Path) -> None:
    assert "no path with a line break" in lab(tmp_path / "a\nb", "kernel").unavailable()


def test_modules_are_found_wherever_they_lie() -> None:
    given = 'quiet "virtme_link_mods=/a b,,c/modules" console=hvc0 init=/x'
    assert qemu._modules_in(["qemu", "-append", given]) == ['"virtme_link_mods=/a b,c/modules"']


def test_a_device_without_processor_support_is_no_kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, processors = tmp_path / "kvm", tmp_path / "cpuinfo"
    monkeypatch.setattr(qemu, "_KVM", str(device))
    monkeypatch.setattr(qemu, "_PROCESSORS", processors)
    processors.write_text("flags\t\t: fpu vmx sse\n")
    assert not has_kvm()
    device.touch(0o600)
    assert has_kvm() == (os.geteuid() != 0), "guests of root are another user"
    device.chmod(0o666)
    assert has_kvm()
    processors.write_text("flags\t\t: fpu sse\n")
    assert not has_kvm()
