"""One run of torture that is killed again and again, gone on with, and finished; see benchmarks.kills.

What is drawn comes from a seed: lab, filesystem, faults, whom a kill hits and when. How far the run has come by then is
not, so a run that anything was wrong with is kept, with a log of all that was done to it.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from benchmarks import aftermath
from benchmarks.aftermath import Process, Stock
from benchmarks.short_runs import Abilities, short_run
from torture.lab.disk import default_scratch, memory_scratch
from torture.lab.homes import CLEANING as CLEANING_UP

TORTURE = Path(sys.executable).parent / "torture"
KILLS_PER_RUN = 12
SET_UP, BOOT, TRIAL, JUDGING, REPORT, CLEANING = PHASES = ("set-up", "boot", "trial", "judging", "report", "cleaning")
ANY = "any"
AIMS = {ANY: 25, SET_UP: 20, BOOT: 15, TRIAL: 20, JUDGING: 10, REPORT: 10}
"""When to kill, and how often that is drawn."""
WITHIN_S = {ANY: 5.0, SET_UP: 1.0, BOOT: 1.0, TRIAL: 1.5, JUDGING: 0.03, REPORT: 0.3}
"""How long after the phase has begun a kill comes at the latest."""
ORCHESTRATOR, GROUP, GUEST, DESCENDANT, CLEANER = VICTIMS = ("orchestrator", "group", "guest", "descendant", "cleaner")
ENDS_RUN = (ORCHESTRATOR, GROUP)
WEIGHTS = (40, 20, 20, 20)
NEARLY_DONE = 3
"""A run with so few trials left is waited for if its report is to be hit."""
RESUMED_WHEN_DONE = 2
LEFT_TO_RESUME, CLEANER_KILLED = 0.3, 0.1
"""How often nobody cleans up before a run is gone on with, and how often whoever cleans up is killed."""
CLEANED_AT_MOST = 5
BUGS = ("Traceback (most", "bug in torture")
"""What no run says that ends in order."""
PATIENCE_S, MOMENT_WITHIN_S = 1200.0, 120.0
"""How long a run may take to its end, and how long one is waited for that is to be killed in some phase."""
JUDGED = (0, 3, 4, 5, 6)
"""Exit codes of runs that came to their end."""
_PAUSE_S = 0.01
_NO_RUN = "a run that has no directory yet"


@dataclass(slots=True)
class Tally:
    """What all runs together have come to. Thread-safe by its lock."""

    wanted: int
    until_s: float
    kills: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By lab, victim and phase."""
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By lab and the first word of what is wrong."""
    runs: int = 0
    trials: int = 0
    gave_up: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def is_enough(self) -> bool:
        return self.kills.total() >= self.wanted or time.monotonic() >= self.until_s


class Attack:
    """One run, which is killed until it has had enough, and then finished. `home` is kept if anything was wrong."""

    def __init__(self, seed: int, number: int, abilities: Abilities, home: Path, tally: Tally) -> None:
        self._home, self._tally = home, tally
        self._random = random.Random(f"{seed}/{number}")
        self._short = short_run(self._random, abilities, home)
        self._scratch = memory_scratch(home) / f"kills-{home.parent.name}-{number}" if self._random.random() < 0.5 else None
        self._places = ["--scratch", str(self._scratch)] if self._scratch else []
        self._run: Path | None = None
        self._before = Stock({}, (), None)
        self._log: list[str] = []
        self._segment = self._hits = 0
        self.failures: list[str] = []
        self.kills = 0

    def _start(self) -> None:
        words = self._short.start if self._run is None else ["resume", str(self._run), *self._short.resume]
        self._segment += 1
        self._hits = 0
        self._said = self._home / f"segment-{self._segment}.txt"
        command = [str(TORTURE), *words, "--results", str(self._home / "results"), *self._places]
        self._note(f"$ {' '.join(command)}")
        with open(self._said, "wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._began_s = time.monotonic()

    # -- when ---------------------------------------------------------------------------------------------------------

    @property
    def _is_set_up(self) -> bool:
        return b"results in " in self._said.read_bytes()

    def _phase(self) -> str:
        run = self._directory()
        if run is None or not self._is_set_up:
            return SET_UP
        trials = list((run / aftermath.TRIALS).glob("*"))
        scratch = self._scratch or default_scratch()
        if not any(path.is_dir() for path in (scratch / run.name).glob("guest-*")):
            return REPORT if len(trials) >= self._short.trials else SET_UP
        open_ones = [path for path in trials if not (path / "record.json").exists()]
        if any(not (path / "plan.json").exists() for path in open_ones):
            return BOOT
        return TRIAL if open_ones else JUDGING

    def _wait(self) -> None:
        aim = self._random.choices(list(AIMS), list(AIMS.values()))[0]
        run = self._directory()
        left = self._short.trials - len(list((run / aftermath.TRIALS).glob("*")) if run else [])
        if aim == REPORT and left > NEARLY_DONE:
            aim = TRIAL
        while (
            aim not in (ANY, self._phase())
            and not _ends_within(self._process, _PAUSE_S)
            and self._age_s() < MOMENT_WITHIN_S
        ):
            pass
        _ends_within(self._process, self._random.uniform(0, WITHIN_S[aim]))

    def _age_s(self) -> float:
        return time.monotonic() - self._began_s

    # -- who ----------------------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        """Kill, clean up and go on until it was killed often enough; then let it finish."""
        done = 0
        self._start()
        try:
            while self.kills < KILLS_PER_RUN and done <= RESUMED_WHEN_DONE and not self._tally.is_enough:
                self._wait()
                if self._process.poll() is None:
                    self._kill()
                else:
                    done += self._ended()
                    self._start()
            for _ in range(3):
                if self._finished() or self.failures:
                    return
                self._start()
            self.wrong("order: it does not finish")
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._clean()
            if self._scratch:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def _finished(self) -> bool:
        if not _ends_within(self._process, PATIENCE_S):
            self.wrong(f"order: it did not end within {PATIENCE_S:g} s")
        return not self.failures and self._ended()

    def _kill(self) -> None:
        victim = self._random.choices(VICTIMS[:-1], WEIGHTS)[0]
        run, phase, age_s = self._directory(), self._phase(), self._age_s()
        name = run.name if run else _NO_RUN
        of_run = aftermath.processes_of(name, self._process.pid)
        if victim in ENDS_RUN:
            (os.killpg if victim == GROUP else os.kill)(self._process.pid, signal.SIGKILL)
            self._process.wait()
        else:
            chosen = aftermath.guests(name) if victim == GUEST else of_run
            others = sorted({each for each in chosen if each.pid != self._process.pid}, key=str)
            if not others or not self._random.choice(others).strike():
                return
            self._hits += 1
        self._count(victim, phase, f"{age_s:.2f} s after the start")
        if victim in ENDS_RUN:
            self._after(self._directory(), of_run)

    def _count(self, victim: str, phase: str, moment: str) -> None:
        self.kills += 1
        self._note(f"kill {self.kills}: {victim} in phase {phase}, {moment}")
        with self._tally.lock:
            self._tally.kills[self._short.lab, victim, phase] += 1

    # -- what is left -------------------------------------------------------------------------------------------------

    def _after(self, run: Path | None, known: set[Process]) -> None:
        """Clean up after the orchestrator, or leave that to whoever goes on, and go on."""
        found = aftermath.stock(run) if run else self._before
        if run:
            self._compare(run, found)
        if found.config is not None and self._random.random() < LEFT_TO_RESUME:
            self._start()
            while not self._is_set_up and not _ends_within(self._process, _PAUSE_S):
                pass
            for line in aftermath.outlived(known):
                self.wrong(f"left: {line}")
            return
        if self._random.random() < CLEANER_KILLED:
            with subprocess.Popen([TORTURE, "clean", *self._places], stdout=subprocess.DEVNULL) as cleaner:
                if not _ends_within(cleaner, self._random.uniform(0.3, 1.2)):
                    cleaner.kill()
                    self._count(CLEANER, CLEANING, "")
        self._clean()
        self._expect_nothing(run.name if run else _NO_RUN, known)
        if run and found.config is None:
            if self._is_set_up:
                self.wrong("lost: a run that was announced cannot be gone on with")
            shutil.rmtree(run)
            self._run = None
        self._start()

    def _clean(self) -> None:
        for _ in range(CLEANED_AT_MOST):
            done = subprocess.run([TORTURE, "clean", *self._places], capture_output=True, text=True, check=False)
            if f"holds it, {CLEANING_UP}" not in done.stderr:
                break  # or whatever starts at the same time is at it, on a busy machine for long
        if "Traceback" in done.stderr or (self._run and self._run.name in done.stderr):
            self.wrong(f"order: torture clean: {done.stderr}")

    def _ended(self) -> bool:
        """The run ended by itself: it has cleaned up, and says how it came out. Whether it is finished."""
        run, said, code = self._directory(), self._said.read_text(errors="replace"), self._process.returncode
        self._note(f"ended with {code} after {self._age_s():.2f} s")
        gave_up = code == 1 and self._hits > 0 and not any(text in said for text in BUGS)
        if not (gave_up or (code in JUDGED and "\nOutcome" in said)):
            self.wrong(f"order: exit code {code} after {self._hits} kills of its processes: {said[-2000:]}")
        if run is None:
            return False
        self._expect_nothing(run.name, set())
        found = aftermath.stock(run)
        self._compare(run, found)
        if gave_up:
            self._note(f"gave up: {said.splitlines()[-1]}")
            with self._tally.lock:
                self._tally.gave_up += 1
            return False
        for line in aftermath.unfulfilled(run, found):
            self.wrong(line)
        told = re.search(r"^(\d+) trials? \(", said, re.MULTILINE)
        there = sum(not task.is_canary for task in found.tasks)
        if not told or int(told[1]) != there:
            self.wrong(f"lost: of {there} trials the report counts {told[1] if told else 'none'}")
        return True

    def _compare(self, run: Path, found: Stock) -> None:
        for line in aftermath.losses(self._before, run, found):
            self.wrong(line)
        with self._tally.lock:
            self._tally.trials += len(found.kept) - len(self._before.kept)
        self._before = found

    def _expect_nothing(self, run: str, known: set[Process]) -> None:
        for line in aftermath.left_behind(run, [self._scratch] if self._scratch else [], known):
            self.wrong(f"left: {line}")
        for path in self._scratch.iterdir() if self._scratch and self._scratch.is_dir() else ():
            self.wrong(f"left: {path}")

    def _directory(self) -> Path | None:
        if self._run is None:
            self._run = next((self._home / "results").glob("torture-*"), None)
        return self._run

    def _note(self, line: str) -> None:
        self._log.append(line)
        (self._home / "log.txt").write_text("\n".join(self._log) + "\n")

    def wrong(self, line: str) -> None:
        """Something is left, lost, doubled, or out of order, as the first word says."""
        self._note(f"WRONG: {line}")
        self.failures.append(line)
        with self._tally.lock:
            self._tally.wrong[self._short.lab, line.partition(":")[0]] += 1


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
