"""Gathers findings that are the same: same kind, promise, place in the matrix, and way of being reported. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from torture.draw.arm import arm_of
from torture.plan import Plan
from torture.results.blame import blame
from torture.results.known import OF_FINDING
from torture.results.store import Trial
from verify.finding import Finding


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two findings the same."""

    filesystem: str
    fault: str
    layout: str
    kind: str
    promise: str
    read: str
    reported: str


@dataclass(slots=True)
class Group:
    """One distinct finding: `pages` counted over all trials, and the pins that lost.

    `seen` and `tried` count, by arm (pinned, control), the trials that showed it and those that could have; `shared`
    are the values that all its sightings have in common.
    """

    key: Key
    example: Finding
    trial: int
    pages: int = 0
    trials: set[int] = field(default_factory=set)
    losing_pins: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    shared: dict[str, str] = field(default_factory=dict)
    control: str = ""
    """What both arms say of the pin, in words (torture.results.blame)."""


def gather(trials: Iterable[Trial]) -> list[Group]:
    """Distinct findings in the order they were first seen, without those of canaries.

    A loss seen by both reads is told once, as the cold read saw it: that is what stays.
    """
    groups: dict[Key, Group] = {}
    trials = [trial for trial in trials if not trial.is_canary]
    for trial in trials:
        for finding in deduplicated(trial.verdict.findings):
            _count(groups, trial, finding)
    for group in groups.values():
        could = [trial for trial in trials if was_tried(trial, group.key)]
        group.tried = Counter(arm_of(trial.plan) for trial in could)
        group.control = blame(could, group.trials, group.losing_pins, on_pages=group.pages > 0).words
    return list(groups.values())


def distinct(trials: Sequence[Trial]) -> list[Group]:
    """Findings as one tells them to somebody: the same filesystem, fault, kind and promise are one, whatever the layout,
    the read that showed it, and what was reported. The key is that of the first; `tried` counts trials with its layouts.
    """
    together: dict[tuple[str, str, str, str], list[Group]] = {}
    for group in gather(trials):
        together.setdefault(signature(group.key), []).append(group)
    return [_merged(groups, trials) for groups in together.values()]


def signature(key: Key) -> tuple[str, str, str, str]:
    """What makes two findings distinct for somebody who is told of them."""
    return key.filesystem, key.fault, key.kind, key.promise


def _merged(groups: list[Group], trials: Sequence[Trial]) -> Group:
    first = groups[0]
    layouts = {group.key.layout for group in groups}
    merged = Group(
        key=replace(first.key, layout=", ".join(sorted(filter(None, layouts)))),
        example=first.example,
        trial=min(group.trial for group in groups),
        pages=sum(group.pages for group in groups),
        trials=set().union(*(group.trials for group in groups)),
        losing_pins=set().union(*(group.losing_pins for group in groups)),
        shared=dict(set.intersection(*(set(group.shared.items()) for group in groups))),
    )
    could = [trial for trial in trials if not trial.is_canary and any(was_tried(trial, group.key) for group in groups)]
    for trial in could:
        merged.tried[arm_of(trial.plan)] += 1
        merged.seen[arm_of(trial.plan)] += trial.number in merged.trials
    merged.control = blame(could, merged.trials, merged.losing_pins, on_pages=merged.pages > 0).words
    return merged


def key_in(plan: Plan, finding: Finding) -> Key:
    """The signature of a finding of a trial of `plan`."""
    return Key(
        filesystem=plan.filesystem,
        fault=plan.fault_names,
        layout=finding.layout,
        kind=finding.kind,
        promise=finding.promise,
        read=finding.read,
        reported=(finding.reported or "").split(" ")[-1],
    )


def _count(groups: dict[Key, Group], trial: Trial, finding: Finding) -> None:
    key = key_in(trial.plan, finding)
    group = groups.setdefault(key, Group(key, finding, trial.number))
    group.pages += finding.pages
    if trial.number not in group.trials:
        group.seen[arm_of(trial.plan)] += 1
    group.trials.add(trial.number)
    group.losing_pins.add(finding.pin)
    values = {name: getattr(finding, name) for name in OF_FINDING}
    if group.trials == {trial.number} and not group.shared:
        group.shared.update(values)
    group.shared = {name: value for name, value in group.shared.items() if values[name] == value}


def deduplicated(findings: Iterable[Finding]) -> list[Finding]:
    """Findings without those of the warm read that the cold read confirms."""
    findings = list(findings)
    cold = {(finding.file, finding.kind) for finding in findings if finding.read == "cold"}
    return [finding for finding in findings if finding.read == "cold" or (finding.file, finding.kind) not in cold]


def was_tried(trial: Trial, key: Key) -> bool:
    """Whether the trial was judged and could have shown the finding."""
    return trial.verdict.outcome.is_judged and could_show(trial.plan, key)


def could_show(plan: Plan, key: Key) -> bool:
    """Whether a trial of the plan could show the finding."""
    place = (plan.filesystem, plan.fault_names)
    return place == (key.filesystem, key.fault) and any(key.layout in ("", file.layout) for file in plan.files)
