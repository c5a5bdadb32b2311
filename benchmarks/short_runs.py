"""Draws the runs and campaigns that benchmarks.attack kills: a few trials of two faults on one filesystem."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from torture.lab.choose import LOCAL

Abilities = Mapping[str, Mapping[str, Sequence[str]]]
"""By lab and filesystem, the faults that can strike it there."""

WEIGHT = {LOCAL: 2}
"""How often a lab is drawn; a guest that has to boot costs more."""
TRIALS, USUAL_TRIALS = {LOCAL: 16}, 5
"""In a run, and in the labs where they take longer."""
CAMPAIGNS = 0.3
"""Of all runs."""


@dataclass(frozen=True, slots=True)
class ShortRun:
    """Command lines of torture, but for the places of results and scratch disks."""

    lab: str
    start: list[str]
    resume: list[str]
    """Options that go on with it."""
    trials: int
    """What it comes to."""


def short_run(draw: Random, abilities: Abilities, home: Path) -> ShortRun:
    """A run, or a campaign with its file in `home`."""
    lab = draw.choices(list(abilities), [WEIGHT.get(lab, 1) for lab in abilities])[0]
    filesystem = draw.choice(list(abilities[lab]))
    able = abilities[lab][filesystem]
    chosen = {
        "fs": [filesystem],
        "fault": draw.sample(able, min(2, len(able))),
        "pin": ["mlock", "none"],
        "disturbance": draw.choice((["none"], ["none", "memory-pressure"], ["freeze", "truncate"], ["all"])),
    }
    jobs, seed, trials = draw.choice((1, 2)), draw.randrange(1 << 30), TRIALS.get(lab, USUAL_TRIALS)
    if draw.random() < CAMPAIGNS:
        file = home / "campaign.toml"
        listed = "".join(f"{name} = {json.dumps(values)}\n" for name, values in chosen.items())
        budget = f'[budget]\ntrials = {trials}\nartefacts = "1G"\n'
        file.write_text(f'seed = {seed}\nlab = "{lab}"\njobs = {jobs}\n{budget}[include]\n{listed}')
        return ShortRun(lab, ["campaign", str(file)], ["--file", str(file)], trials)
    words = [word for name, values in chosen.items() for value in values for word in (f"--{name}", value)]
    options = ["--seed", str(seed), "--count", str(trials), "--jobs", str(jobs), "--no-control", "--lab", lab]
    return ShortRun(lab, ["run", *words, *options], ["--lab", lab], trials + 1)  # and the planted loss
