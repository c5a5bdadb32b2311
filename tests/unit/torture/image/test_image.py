"""An image and a ledger that do not fit together are refused; what a lab saw of an image is judged as of its crash."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.torture.fake_lab import FakeGuest, FakeLab
from tests.unit.torture.stories import PAGE, PAGES, finding, leave, plan, ran
from torture.errors import BadRequest
from torture.image.image_ledger import check_belongs, choose_filesystem, kept_position, load_ledger
from torture.image.verify_command import look_at, verify
from torture.judge import judge_image
from torture.lab.base import GuestLost
from torture.lab.disk import copy_image, image_chunks
from torture.rig.record import LEDGER
from verify import ledger, stamp
from verify.ledger_file import read_ledger
from verify.observation import Missing, Size, write_observations
from verify.outcome import Outcome
from verify.stamp import Look, Span

MIB = 1 << 20


def ledger_of(directory: Path, **how: object) -> Path:
    leave(directory, plan(), record=ran(), **how)  # type: ignore[arg-type]
    return directory / LEDGER


def edited(path: Path, **changes: object) -> Path:
    begin, *rest = read_ledger(path)
    assert isinstance(begin, ledger.Begin)
    other = path.with_name("edited.jsonl")
    other.write_bytes(b"".join(record.encode() for record in (replace(begin, **changes), *rest)))  # type: ignore[arg-type]
    return other


def test_what_was_synced_before_the_crash_must_be_there(tmp_path: Path) -> None:
    judged_by = load_ledger(ledger_of(tmp_path, cold=Look.ZERO))
    after_all = judge_image(judged_by.expectations(None, unmounted=False), tmp_path)
    assert after_all.outcome is Outcome.failed and [found.pages for found in after_all.findings] == [PAGES]
    before_the_sync = judged_by.expectations(len(judged_by.records) - 2, unmounted=False)
    assert judge_image(before_the_sync, tmp_path).outcome is Outcome.passed
    unmounted = judged_by.expectations(None, unmounted=True)
    assert judge_image(unmounted, tmp_path).outcome is Outcome.failed


def test_what_is_there_passes_but_not_what_could_not_be_mounted_or_looked_at(tmp_path: Path) -> None:
    expected = load_ledger(ledger_of(tmp_path)).expectations(None, unmounted=False)
    assert judge_image(expected, tmp_path).outcome is Outcome.passed
    ran(unmountable="mount: Structure needs cleaning").write(tmp_path)
    assert judge_image(expected, tmp_path).outcome is Outcome.failed
    ran(state="unknown", reason="the guest died").write(tmp_path)
    assert judge_image(expected, tmp_path).outcome is Outcome.unknown
    ran(state="notrun", reason="the kernel has no xfs").write(tmp_path)
    assert judge_image(expected, tmp_path).outcome is Outcome.notrun


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"page_bytes": 16384}, "pages of 16384 bytes, this one has 4096"), ({"version": 99}, "ledger version 99")],
)
def test_a_ledger_of_another_world_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        load_ledger(edited(ledger_of(tmp_path), **changes))


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(plan().to_json())
    with pytest.raises(BadRequest, match="is no ledger that can be judged by"):
        load_ledger(tmp_path / "plan.json")
    with pytest.raises(BadRequest, match="holds no store"):
        load_ledger(ledger_of(tmp_path, stored=False))
    with pytest.raises(BadRequest, match="--position 99 is not in"):
        load_ledger(ledger_of(fresh(tmp_path, "other"))).expectations(99, unmounted=False)


def fresh(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def ext4_image(path: Path) -> Path:
    """As little of a super block as libblkid asks for: magic at 1080, a journal, extents."""
    content = bytearray(MIB)
    content[1080:1082] = b"\x53\xef"
    content[1116:1120], content[1120:1124] = (4).to_bytes(4, "little"), (0x42).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_the_filesystem_is_what_the_image_says(tmp_path: Path) -> None:
    disk = ext4_image(tmp_path / "disk.img")
    assert choose_filesystem(disk, disk, None).name == "ext4"
    assert choose_filesystem(disk, disk, "ext4:1k").name == "ext4:1k"
    assert choose_filesystem(disk, disk, "ext2").name == "ext2"
    with pytest.raises(BadRequest, match="holds ext4, not xfs"):
        choose_filesystem(disk, disk, "xfs")


def test_an_image_without_a_signature_needs_a_name(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(MIB))
    with pytest.raises(BadRequest, match="has no signature of a filesystem"):
        choose_filesystem(disk, disk, None)
    assert choose_filesystem(disk, disk, "xfs").name == "xfs"


def test_an_image_of_another_trial_is_refused_before_it_is_accused(tmp_path: Path) -> None:
    judged_by = load_ledger(ledger_of(tmp_path))
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(MIB))
    check_belongs(image, judged_by, tmp_path)  # its stamps show
    write_observations(tmp_path / "cold-1.jsonl", [Size(PAGES * PAGE), Span(0, PAGES, Look.ZERO, 0, 0)])
    check_belongs(image, judged_by, tmp_path)  # the files are there and empty: a loss
    write_observations(tmp_path / "cold-1.jsonl", [Missing(2)])
    with pytest.raises(BadRequest, match="nothing on image"):
        check_belongs(image, judged_by, tmp_path)
    image.write_bytes(bytes(MIB) + stamp.page(run=judged_by.begin.run, file=1, page=0, generation=1, writer=1))
    check_belongs(image, judged_by, tmp_path)  # its stamps lie on the disk: the files were lost


def test_an_image_is_copied_as_it_is_and_stays_sparse(tmp_path: Path) -> None:
    content = bytes(3 * MIB) + b"x" * 700 + bytes(2 * MIB)
    (tmp_path / "raw").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    for name in ("raw", "packed"):
        copy_image(tmp_path / name, tmp_path / f"{name}.copy")
        copy = tmp_path / f"{name}.copy"
        assert copy.read_bytes() == content and copy.stat().st_blocks * 512 < 3 * MIB


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(gzip.compress(b"x" * MIB)[:-9])
    for name in ("cut", "missing"):
        with pytest.raises(BadRequest, match="cannot read image"):
            list(image_chunks(tmp_path / name))


def test_only_a_kept_crash_state_has_a_position_of_its_own(tmp_path: Path) -> None:
    judged_by = load_ledger(ledger_of(tmp_path))
    lost = '{"label":"mark","position":%d,"unmountable":"","inconsistent":"","files":{"1":["[\\"missing\\",2]\\n"]}}\n'
    (tmp_path / "states.jsonl").write_text(lost % 8)
    assert kept_position(tmp_path / "failing-state.img", judged_by) == 8
    assert kept_position(tmp_path / "disk.img", judged_by) is None


class DyingLab(FakeLab):
    """Its guests die of the image; `hung` ones stop answering first."""

    hung = ""

    def boot(self, index: int) -> FakeGuest:
        lab = self

        class DyingGuest(FakeGuest):
            def examine(self, directory: Path, on_phase: Callable[[str], None]) -> None:
                raise GuestLost("the guest died", "mend", Path("console"), hung=bool(lab.hung), evidence=lab.hung)

        return DyingGuest(self)


def test_an_image_that_its_guest_dies_of_is_unknown_and_one_that_it_hangs_on_is_a_finding(tmp_path: Path) -> None:
    expected = load_ledger(ledger_of(tmp_path)).expectations(None, unmounted=False)
    lab = DyingLab(lambda plan: 0)
    assert look_at(lab, tmp_path) == "6.1-fake"
    verdict = judge_image(expected, tmp_path)
    assert verdict.outcome is Outcome.unknown and "the guest died in phase mend" in verdict.reason
    lab.hung = "17 D mount: xlog_recover"
    look_at(lab, tmp_path)
    assert [found.kind for found in judge_image(expected, tmp_path).findings] == ["hang"]


def test_a_finding_is_judged_again_from_what_it_kept(tmp_path: Path) -> None:
    """No lab is booted, and the finding's directory may lie anywhere."""
    ledger_of(tmp_path, cold=Look.ZERO)
    the_finding = asdict(finding(promise="sync"))
    versions = {"lab": "uml", "kernel_path": "./linux", "arguments": ""}
    for name, content in (("finding.json", the_finding), ("versions.json", versions)):
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "plan.json").write_text(plan().to_json())
    done = CliRunner().invoke(verify, [str(tmp_path), "--json"], standalone_mode=False)
    judged = json.loads(done.output)
    assert done.return_value == judged["exit_code"] == 3
    assert [(found["kind"], found["pages"]) for found in judged["findings"]] == [("lost", PAGES)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to judge"),
        (["--image", "disk.img"], "an image needs what it is judged by"),
        (["RUN", "--position", "3"], "--position is about an image"),
        (["--image", "disk.img", "--ledger", "L", "--unmounted", "--position", "3"], "give one of them"),
        (["--image", "disk.img", "--ledger", "L", "--lab", "local", "--kernel", "x"], "choose a guest's kernel"),
    ],
)
def test_a_request_that_cannot_be_met_is_said_so(words: list[str], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        CliRunner().invoke(verify, words, standalone_mode=False, catch_exceptions=False)
