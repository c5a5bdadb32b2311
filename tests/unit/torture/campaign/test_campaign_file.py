"""Campaign files: the examples load, and everything wrong is said with line and key before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from torture.campaign.campaign_file import load
from torture.campaign.explore import usual
from torture.campaign.run_config import RunConfig
from torture.cli import cli
from torture.errors import BadRequest
from torture.filesystems import USUAL

WELL_KNOWN = "[budget]\ntrials = 1\n[[known]]\nname = 'n'\nreason = 'r'\nexpires = '2027-01-01'\n"
"""Six lines."""
EXAMPLES = sorted((Path(__file__).parents[4] / "examples").glob("*.toml"))


def read(path: Path) -> RunConfig:
    return load(path, results=Path("/r"), scratch=Path("/s"), draw_seed=lambda: 77)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_load_and_survive_the_store(path: Path) -> None:
    config = read(path)
    assert config.endless and config.request.seed == 77
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_there_is_an_example_for_each_use() -> None:
    assert [path.stem for path in EXAMPLES] == ["overnight", "reproduce", "validate"]


def test_every_part_arrives(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'seed = 3\njobs = 1\non_finding = "/bin/true"\n'
        '[budget]\ntime = "2m"\ntrials = 9\nfindings = 2\nartefacts = "3M"\n'
        '[include]\nfs = ["xfs"]\npin = ["all"]\nfault = ["enospc:free_blocks=2"]\n[exclude]\npin = ["none"]\n'
        '[[kernel]]\npath = "k"\narguments = ["a=1"]\n'
    )
    config = read(path)
    assert (config.time_limit_s, config.most_trials, config.most_findings, config.artefact_bytes) == (120, 9, 2, 3 << 20)
    assert config.request["filesystem"] == ("xfs",) and "none" not in config.request["pin"]
    assert config.request.faults[0].parameters == {"free_blocks": 2}
    assert config.kernels[0].label == "k a=1"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[budget]\ntrials = 1\n[include]\nfs = ['zfs']\n", 4, "fs"),
        ("colour = 1\n[budget]\ntrials = 1\n", 1, "colour"),
        ("[budget]\ntrials = 1\nspeed = 3\n", 3, "speed"),
        ("[budget]\n\ntime = '8 fortnights'\n", 3, "time"),
        ("[budget]\ntrials = 0\n", 2, "trials"),
        ("jobs = 'many'\n[budget]\ntrials = 1\n", 1, "jobs"),
        ("lab = 'moon'\n[budget]\ntrials = 1\n", 1, "lab"),
        ("[budget]\ntrials = 1\n[exclude]\nfs = ['all']\n", 4, "fs"),
        ("[budget]\ntrials = 1\n[include]\nfs = 'xfs'\n", 4, "fs"),
        ("[budget]\nartefacts = '1G'\n", 1, "budget"),
        ("[budget]\ntrials = 1\n[[known]]\nkind = 'late'\n", 3, "name"),
        ("[budget]\ntrials = 1\n[[known]]\nname = 'n'\nkind = 'late'\n", 3, "reason"),
        ("[budget]\ntrials = 1\n[[known]]\nname = 'n'\nreason = 'r'\nexpires = 'soon'\n", 6, "expires"),
        ("[budget]\ntrials = 1\n[[kernel]]\nspeed = 1\n", 4, "speed"),
        ("[budget]\ntrials = 1\n[[kernel]]\npath = 'a'\n[[kernel]]\npath = 1\n", 6, "path"),
        (WELL_KNOWN + "[[known]]\nname = 'm'\nreason = 's'\nexpires = 'soon'\n", 10, "expires"),
        (WELL_KNOWN + "[[known]]\nname = 'm'\nreason = 's'\nexpires = 2027-01-01\nfault = [1]\n", 11, "fault"),
        (WELL_KNOWN + "[[known]]\nname = 'm'\nreason = 's'\nexpires = 2027-01-01\nkernel = '6'\n", 11, "kernel"),
        (WELL_KNOWN + "[[known]]\nname = 'M n'\nreason = 's'\nexpires = 2027-01-01\n", 8, "name"),
        (WELL_KNOWN + "[[known]]\nname = 'm'\nreason = 's'\n", 7, "expires"),
        (WELL_KNOWN + "[[known]]\nreason = 's'\ncause = 's'\n", 9, "cause"),
        ("[budget]\ntrials = 1\n[include]\nfault = ['enospc:blocks=1']\n", 4, "fault"),
        (f"[budget]\ntime = '{'9' * 400}d'\n", 2, "time"),
        ("kernel = [1]\n[budget]\ntrials = 1\n", 1, "kernel"),
        ("known = ['']\n[budget]\ntrials = 1\n", 1, "known"),
        ("[budget]\ntrials = 1\n[include]\nfault = ['lying-disk']\n", 4, "fault"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(BadRequest) as caught:
        read(path)
    assert f"line {line}, key '{key}'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("filesystem", "zfs", "ext4, ext3"),
        ("filesystem", "zfs*", "ext4, ext3"),
        ("fault", "meteor", "enospc"),
        ("fault", "enospc+meteor", "enospc"),
        ("kind", "gone", "lost, torn"),
        ("promise", "always", "store, sync"),
        ("background", "maybe", "yes, no"),
        ("disturbance", "earthquake", "none, background, truncate"),
    ],
)
def test_a_known_finding_that_can_never_be_is_refused(tmp_path: Path, key: str, value: str, allowed: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"{WELL_KNOWN}[[known]]\nname = 'm'\nreason = 's'\nexpires = '2027-01-01'\n{key} = '{value}'\n")
    with pytest.raises(BadRequest) as caught:
        read(path)
    said = str(caught.value)
    assert f"line 11, key '{key}': '{value}' matches nothing there is; allowed are" in said and allowed in said


@pytest.mark.parametrize("fault", ["enospc+power-cut", "eno*", "*", "*+power-cut", "thin-full+kill-workers", "eno*cut", ""])
def test_a_known_finding_may_name_faults_together_and_patterns(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"{WELL_KNOWN}fault = '{fault}'\n")
    assert read(path).known[0].values["fault"] == ((fault,) if fault else ())


def test_a_known_finding_that_has_expired_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"{WELL_KNOWN.replace('2027', '2020')}filesystem = 'ext2'\n")
    done = CliRunner().invoke(cli, ["campaign", str(path), "--results", "/dev/null/no"])
    assert "known finding n counts again since 2020-01-01" in done.stderr


@pytest.mark.parametrize("content", [None, b"seed = ", b"\xff\xfe", b"seed = " + b"[" * 9999, b"seed = " + b"9" * 9999])
def test_what_is_no_campaign_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadRequest):
        read(path)


def test_the_default_campaign_has_every_configuration_and_a_matrix_of_the_plain_ones(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[budget]\ntrials = 1\n")
    request = read(path).request
    assert {"ext4", "ext4:1k", "xfs:1k", "f2fs:lfs"} <= set(request["filesystem"])
    assert set(usual(request)["filesystem"]) == set(USUAL)
    assert usual(request.having(filesystem=("ext4:1k",)))["filesystem"] == ("ext4:1k",)


def test_the_names_of_known_findings_are_unique(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"{WELL_KNOWN}{WELL_KNOWN.partition('1')[2]}")
    with pytest.raises(BadRequest, match="2 entries called n"):
        read(path)
