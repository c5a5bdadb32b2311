"""The summary of a run in plain text: the matrix, each distinct finding once, and what the exit code means. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from textwrap import fill

from torture.report.known import render_known
from torture.report.words import count, first_line, one_item
from torture.results.believed import believed
from torture.results.cells import Cell, outcomes
from torture.results.excuses import excuse, without_known
from torture.results.groups import Group, gather
from torture.results.known import Known
from torture.results.store import Trial
from verify.finding import Finding
from verify.outcome import Outcome, worst

MEANING = {
    Outcome.passed: "every accepted store was there after the remount",
    Outcome.failed: "a promise was broken: something was lost silently, or worse",
    Outcome.notrun: "nothing was run",
    Outcome.unknown: "something could not be judged; this is not a pass",
    Outcome.late: "stores were accepted and then lost, and only the sync said so",
}

KINDS = {
    "late": "stores were accepted, then lost; only the sync told",
    "lost": "accepted stores are gone",
    "torn": "pages are a mix of generations that no promise allows",
    "misdirected": "pages hold what was stored elsewhere",
    "exposed": "stale disk content shows in the file",
    "corrupt": "content is neither what was stored nor anything that was there before",
    "unreadable": "content cannot be read back",
    "short": "the file is too small",
    "clone-changed": "a store changed the clone of a reflinked file",
    "hang": "something never returned",
    "overfull": "more was accepted than the device can hold",
    "fsck": "the filesystem is inconsistent",
    "kernel": "the kernel raised an alarm",
    "unjudged": "pages that could not be judged",
}
KNOWN = "known"
_WIDTH = 100
_FAULTS_WIDTH = 64
_PINS_WIDTH = 44


def overall(trials: Iterable[Trial]) -> Outcome:
    """The worst outcome of what could be run; notrun if that is canaries only, none of them unknown."""
    seen = [trial.verdict.outcome for trial in trials]
    ran = [outcome for outcome in seen if outcome != Outcome.notrun]
    judged = [trial for trial in trials if not trial.is_canary and trial.verdict.outcome != Outcome.notrun]
    if not judged and not any(outcome == Outcome.unknown for outcome in ran):
        return Outcome.notrun
    return worst(ran)


def render(trials: Sequence[Trial], known: Sequence[Known] = (), today: date = date.min) -> str:
    """The whole summary, which ends in a newline. Findings that are `known` stand apart, and do not count."""
    unexplained = believed(without_known(trials, known, today))
    trials = believed(trials)
    parts = ["\n".join(_table(_words(trials, unexplained)))]
    groups = gather(unexplained)
    parts += [_finding(number, group) for number, group in enumerate(groups, 1)]
    parts.append("\n".join(render_known(trials, known, today)))
    parts += list(_unclear(trials))
    parts.append(_closing(trials, unexplained))
    return "\n\n".join(part for part in parts if part) + "\n"


def _words(trials: Sequence[Trial], unexplained: Sequence[Trial]) -> dict[Cell, str]:
    """The outcome of each cell, "known" where it would be pass but for what is known."""
    before, after = outcomes(trials), outcomes(unexplained)
    return {
        cell: KNOWN if after[cell] is Outcome.passed is not outcome else _word(after[cell])
        for cell, outcome in before.items()
    }


def _table(cells: dict[Cell, str]) -> Iterator[str]:
    """One table, or, for more faults than fit side by side, several below each other."""
    faults = list(dict.fromkeys(cell.fault for cell in cells))
    for number, block in enumerate(_blocks(faults)):
        if number:
            yield ""
        yield from _block({cell: word for cell, word in cells.items() if cell.fault in block}, block)


def _blocks(faults: Sequence[str]) -> Iterator[list[str]]:
    """The faults in parts of so many that their columns fit."""
    block: list[str] = []
    for fault in faults:
        if block and sum(len(name) + 2 for name in (*block, fault)) > _FAULTS_WIDTH:
            yield block
            block = []
        block.append(fault)
    yield block


def _block(cells: dict[Cell, str], faults: list[str]) -> Iterator[str]:
    rows = _rows(cells, faults)
    headings = ("filesystem", "layout", "pin", *faults)
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    yield _line(headings, widths)
    previous = ""
    for row in rows:
        yield _line(("" if row[0] == previous else row[0], *row[1:]), widths)
        previous = row[0]


def _rows(cells: dict[Cell, str], faults: list[str]) -> list[tuple[str, ...]]:
    """One row for each filesystem and layout, and for the pins of it that had the same outcome under every fault that they
    share."""
    rows: dict[tuple[str, str], list[tuple[list[str], dict[str, str]]]] = {}
    order = list(dict.fromkeys(cell.filesystem for cell in cells))
    places = dict.fromkeys((cell.filesystem, cell.layout, cell.pin) for cell in cells)
    for filesystem, layout, pin in sorted(places, key=lambda place: order.index(place[0])):
        fared = {fault: cells[cell] for fault in faults if (cell := Cell(filesystem, layout, pin, fault)) in cells}
        _join_alike(rows.setdefault((filesystem, layout), []), pin, fared)
    return [
        (filesystem, layout, _in_few_words(pins), *(fared.get(fault, "-") for fault in faults))
        for (filesystem, layout), alike in rows.items()
        for pins, fared in alike
    ]


def _in_few_words(pins: Sequence[str]) -> str:
    text = ", ".join(sorted(pins))
    if len(text) <= _PINS_WIDTH:
        return text
    pinned = len(pins) - ("none" in pins)
    return f"{pinned} pins" + (", none" if "none" in pins else "")


def _join_alike(rows: list[tuple[list[str], dict[str, str]]], pin: str, fared: dict[str, str]) -> None:
    for pins, known in rows:
        if all(known.get(fault, word) == word for fault, word in fared.items()):
            pins.append(pin)
            known.update(fared)
            return
    rows.append(([pin], dict(fared)))


def _word(outcome: Outcome) -> str:
    return outcome.value.upper() if outcome is Outcome.failed else outcome.value


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _finding(number: int, group: Group) -> str:
    key, example = group.key, group.example
    place = ", ".join(filter(None, (key.filesystem, key.layout, f"fault {key.fault}")))
    pins = ", ".join(sorted(filter(None, group.losing_pins)))
    amount = count(group.pages, "page") + " in " if group.pages else ""
    when = "After the remount" if key.read == "cold" else "Before the unmount"
    seen = f"{amount}{count(len(group.trials), 'trial')}{f' (pins: {pins})' if pins else ''}"
    sentences = [
        f"{seen}; {example.told}.",
        f"{when}: expected {example.expected}, found {first_line(example.found)}.",
        f"Broken: the {key.promise} promise. {group.control[0].upper()}{group.control[1:]}.",
        f"See trial {group.trial}.",
    ]
    wrapped = (fill(sentence, _WIDTH, initial_indent="   ", subsequent_indent="   ") for sentence in sentences)
    return "\n".join([one_item(f"{number}. {key.kind}: {place}: {KINDS[key.kind]}"), *wrapped])


def _unclear(trials: Iterable[Trial]) -> Iterator[str]:
    """Why trials were not run or could not be judged, and what a pass does not say, each reason once."""
    for outcome in (Outcome.unknown, Outcome.notrun, Outcome.passed):
        reasons = Counter(
            f"{trial.plan.filesystem}, fault {trial.plan.fault_names}: {first_line(trial.verdict.reason)}"
            for trial in trials
            if trial.verdict.outcome == outcome and not _goes_without_saying(trial)
        )
        if reasons:
            lines = [fill(f"{count} x {reason}", _WIDTH, subsequent_indent="    ") for reason, count in reasons.items()]
            yield "\n".join([f"{outcome.value}:", *(f"  {line}" for line in lines)])


def _goes_without_saying(trial: Trial) -> bool:
    verdict = trial.verdict
    return verdict.outcome is Outcome.passed and (trial.is_canary or not verdict.reason)


def _closing(trials: Sequence[Trial], unexplained: Sequence[Trial]) -> str:
    canaries = [trial for trial in trials if trial.is_canary]
    counted = Counter(trial.verdict.outcome.value for trial in trials if not trial.is_canary)
    counts = ", ".join(f"{number} {name}" for name, number in counted.items())
    return f"{len(trials) - len(canaries)} trials ({counts}); {planted(canaries)}.\n{closing_line(trials, unexplained)}"


def planted(canaries: Iterable[Trial]) -> str:
    """What became of the losses that were planted, of those that the kernels could plant."""
    outcomes = [trial.verdict.outcome for trial in canaries if trial.verdict.outcome is not Outcome.notrun]
    found = outcomes.count(Outcome.passed)
    return f"{found} of {len(outcomes)} planted losses found" if outcomes else "no loss was planted"


def detail(trial: Trial, directory: Path, known: Sequence[Known] = (), today: date = date.min) -> str:
    """One trial: what was done, what proves it, and its findings page by page, with what is `known` of them."""
    plan = trial.plan
    lines = [
        f"trial {trial.number} ({trial.arm}): {plan.filesystem}, fault {plan.fault_names}",
        f"  {trial.verdict.outcome.value}: {trial.verdict.reason}",
        f"  kernel {trial.release}, {trial.seconds:.1f} s, seed {plan.seed}, evidence in {directory}",
    ]
    lines += [f"  {sentence}" for sentence in trial.evidence]
    for worker in plan.workers:
        steps = ", ".join(f"{op.kind} {op.name}".strip() for op in worker.ops)
        lines.append(f"  worker {worker.worker}: file {worker.file}, pin {worker.pin}, access {worker.access}: {steps}")
    for finding in trial.verdict.findings:
        entry = excuse(trial, finding, known, today)
        lines.append(f"  {finding_line(finding)}{f'; known: {entry.name}: {entry.reason}' if entry else ''}")
    return "\n".join(map(one_item, filter(None, lines)))


def finding_line(finding: Finding) -> str:
    """A finding in one line."""
    pages = f"{finding.first_page}..{finding.first_page + finding.pages - 1}" if finding.pages else "all"
    return (
        f"{finding.kind} ({finding.promise}, {finding.read}): {finding.name or 'filesystem'} pages {pages}"
        f" sectors {finding.sectors:#x}: expected {finding.expected}, found {finding.found}"
        f"; {finding.told}"
    )


def closing_line(trials: Sequence[Trial], unexplained: Sequence[Trial]) -> str:
    """The outcome of a run, and whether it would be another without its known list."""
    has_known = any(one.verdict.findings != other.verdict.findings for one, other in zip(trials, unexplained, strict=True))
    return outcome_line(overall(unexplained), ", but for what is known" if has_known else "")


def outcome_line(outcome: Outcome, but: str = "") -> str:
    """An outcome, what it means, and the exit code."""
    return f"Outcome{but}: {outcome.value} - {MEANING[outcome]} (exit code {outcome.exit_code})."
