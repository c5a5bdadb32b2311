"""One target for each decoder: what is done with bytes that somebody sent. It ends in an answer or in a sentence.

A target for a directory takes its files one after the other, each behind a line `==> NAME <==`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from devicemapper.log_writes import LogDamaged, LogReader
from tests.unit.torture.stories import finding, plan, trial
from torture.campaign import campaign_file
from torture.campaign.recorded import stored
from torture.crash.outcome import read_states
from torture.errors import TortureError
from torture.export.bundle import write_bundle
from torture.export.failure import find_failure
from torture.image.image_ledger import load_ledger
from torture.judge import judge
from torture.plan import Plan
from torture.plan_check import read_plan
from torture.report.document import document
from torture.report.formats import FORMATS, exit_code
from torture.report.summary import finding_line
from torture.reproduce.subject import find_subject
from torture.results.excuses import account
from torture.results.known_file import read_file
from torture.results.store import STORE
from torture.results.versions import Versions
from torture.rig import kernel_log
from torture.rig.record import LEDGER, Record
from verify import codec
from verify.ledger_file import LedgerError
from verify.observation import ObservationError, read_observations
from verify.outcome import Outcome

SENTENCES = (TortureError, codec.Malformed, LedgerError, ObservationError, LogDamaged)
"""What a decoder may raise: each is told in one line."""
JUDGED = ("LedgerError", "ObservationError", "HistoryError", "Malformed", "OSError", "FileNotFoundError")
"""Of what the judge meets in a trial, what makes it `unknown`; anything else is a bug of the checker."""
MOST_CHARACTERS = 4000
"""Of a sentence; the longest are those that list all that is allowed."""
_FILE = re.compile(rb"^==> ([a-z0-9-]{1,20}\.[a-z]{1,6}) <==\n", re.MULTILINE)
_TODAY = date(2026, 1, 1)

Run = Callable[[bytes, Path], object]


@dataclass(frozen=True, slots=True)
class Target:
    """What to do with bytes, in an empty directory of its own; and a type whose JSON it takes, if that is so."""

    run: Run
    hint: object = None


def unpack(content: bytes, directory: Path) -> None:
    """Write the files of a directory."""
    _, *parts = _FILE.split(content)
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        (directory / name.decode()).write_bytes(text)


def _plan(content: bytes, directory: Path) -> object:
    read = read_plan(content)
    assert read_plan(read.to_json()) == read
    return read.identity


def _campaign(content: bytes, directory: Path) -> object:
    (directory / "c.toml").write_bytes(content)
    config = campaign_file.load(directory / "c.toml", results=directory, scratch=directory, draw_seed=lambda: 1)
    return [entry.has_expired(_TODAY) for entry in config.known], config.to_dict()


def _known(content: bytes, directory: Path) -> object:
    (directory / "known.toml").write_bytes(content)
    entries = read_file(directory / "known.toml")
    return account([trial(1, Outcome.failed, finding())], entries, _TODAY), codec.encode(entries)


def _ledger(content: bytes, directory: Path) -> object:
    (directory / LEDGER).write_bytes(content)
    ledger = load_ledger(directory / LEDGER)
    return [ledger.expectations(position, unmounted=False) for position in (None, 1)]


def _record(content: bytes, directory: Path) -> object:
    (directory / "record.json").write_bytes(content)
    return codec.encode(Record.read(directory))


def _finding(content: bytes, directory: Path) -> object:
    unpack(content, directory)
    failure = find_failure(directory, directory, None, "")
    write_bundle(failure, directory / "bundle.tar.gz")
    return failure.record


def _versions(content: bytes, directory: Path) -> object:
    return codec.decode(Versions, content).known


def _store(content: bytes, directory: Path) -> object:
    (directory / STORE).write_bytes(content)
    trials, facts = stored(directory)
    printed = [write(trials, facts) for write in FORMATS.values()]
    subject = find_subject(directory, directory)
    return printed, exit_code(trials, facts), document(trials, facts), subject.expected


def _observations(content: bytes, directory: Path) -> object:
    (directory / "cold-1.jsonl").write_bytes(content)
    return sum(1 for _ in read_observations(directory / "cold-1.jsonl"))


def _states(content: bytes, directory: Path) -> object:
    (directory / "states.jsonl").write_bytes(content)
    return sum(1 for _ in read_states(directory / "states.jsonl"))


def _write_log(content: bytes, directory: Path) -> object:
    (directory / "log").write_bytes(content)
    with LogReader(directory / "log") as log:
        return sum(len(piece) for entry in log.entries() if entry.writes for _, piece in log.data(entry))


def _kernel_log(content: bytes, directory: Path) -> object:
    lines = [kernel_log.render(record) for record in content.decode(errors="replace").split("\0")]
    return kernel_log.alarms(lines)


def _trial(content: bytes, directory: Path) -> object:
    unpack(content, directory)
    given = directory / "plan.json"
    verdict = judge(read_plan(given.read_bytes()) if given.exists() else plan(), directory)
    crashed = re.match(r"the checker crashed: (\w+)", verdict.reason)
    assert not crashed or crashed[1] in JUDGED, verdict.reason
    return [finding_line(each) for each in verdict.findings]


TARGETS: dict[str, Target] = {
    "plan": Target(_plan, Plan),
    "campaign": Target(_campaign),
    "known": Target(_known),
    "ledger": Target(_ledger),
    "record": Target(_record, Record),
    "finding": Target(_finding),
    "versions": Target(_versions, Versions),
    "store": Target(_store),
    "observations": Target(_observations),
    "states": Target(_states),
    "write-log": Target(_write_log),
    "kernel-log": Target(_kernel_log),
    "trial": Target(_trial),
}
"""By the name of the directory of their seeds."""


def ends(name: str, content: bytes, directory: Path) -> str:
    """How a target ends with `content`: "an answer", or the name of the error that is told in a sentence. Anything else is
    raised: a crash."""
    try:
        TARGETS[name].run(content, directory)
        return "an answer"
    except SENTENCES as error:
        assert 0 < len(str(error)) <= MOST_CHARACTERS, len(str(error))
        return type(error).__name__
