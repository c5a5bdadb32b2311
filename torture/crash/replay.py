"""Replays a log of writes: walks along it, and has the crash states that were chosen mounted, read, checked, dropped.

The log is walked twice. The first walk counts the states, so that those to check can be chosen evenly, and makes sure
that the log is whole. The second builds them. What was seen of each is left in states.jsonl; the first one that breaks
a promise is kept as an image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

from devicemapper import mounts, tools
from devicemapper.log_writes import Entry, LogReader
from torture.crash import outcome
from torture.crash.disk import Contents, CrashDisk, check_complete, keep_image
from torture.crash.outcome import STATES, AsOf, StateSeen
from torture.crash.states import CrashState, steps
from torture.rig.scene import Scene
from verify.finding import Finding
from verify.ledger_file import read_ledger
from verify.observation import Observation
from verify.reader import observe_file

KEPT_STATE = "failing-state.img"
LOG_LISTING = "log-writes.txt"
MAX_LISTED = 10_000
MAX_FAILING = 5
HEARTBEAT_S = 10.0
CHECK_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Choice:
    """How many crash states are made and checked."""

    states: int
    """At most so many are checked."""
    samples: int
    """So many are drawn from between each two barriers."""
    fsck: int
    """Every so many-th that is checked gets an fsck too, and so does each that breaks a promise."""


@dataclass(slots=True)
class Tally:
    """How far a replay came."""

    entries: int = 0
    """Writes of the log."""
    found: int = 0
    """Crash states that the log has."""
    checked: int = 0
    same: int = 0
    """States that were chosen and not checked, because another had the same content and owed as much."""
    failing: int = 0
    """States that broke a promise."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Where the time went, by step."""

    def __str__(self) -> str:
        spent = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.seconds.items())
        return (
            f"{self.entries} writes logged, {self.found} crash states: {self.checked} checked, {self.same} the same as"
            f" another, {self.failing} failing; {spent}"
        )

    def clock(self, step: str, began: float) -> float:
        """Account the time since `began` to a step; returns the time now."""
        now = time.monotonic()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - began
        return now


class Replay:
    """One log replayed. `position` is the ledger position at which the log began, `live` the device that was logged."""

    def __init__(self, scene: Scene, log: LogReader, position: int, choice: Choice) -> None:
        self._scene, self._log, self._position, self._choice = scene, log, position, choice
        self._mapped = scene.dm
        self._expected = AsOf(list(read_ledger(scene.ledger_path)))
        self._seen: dict[int, int] = {}
        self._alive = 0.0
        self.tally = Tally()

    def survey(self, live: Path) -> None:
        """The first walk. StepFailed when the log is not all that was written to `live`."""
        began = time.monotonic()
        contents = Contents(self._scene.length_sectors)
        self._list_log()
        for step in self._steps():
            if isinstance(step, CrashState):
                self.tally.found += 1
            else:
                self.tally.entries += 1
                for sector, content in self._log.data(step):
                    contents.put(sector, content)
        check_complete(contents, live)
        self.tally.clock("survey", began)

    def _list_log(self) -> None:
        """The beginning of the log for people, one line an entry."""
        with open(self._scene.directory / LOG_LISTING, "w", encoding="utf-8") as out:
            out.writelines(f"{entry}\n" for entry in islice(self._log.entries(), MAX_LISTED))

    def run(self, store: Path) -> None:
        """The second walk; `store` takes what the states write. Afterwards the scratch disk holds the whole log."""
        scene = self._scene
        disk = CrashDisk(scene.disk, self._mapped, store, self._log, scene.length_sectors)
        chosen = self._chosen()
        number = 0
        with open(scene.directory / STATES, "w", encoding="utf-8") as out:
            for step in self._steps():
                if not isinstance(step, CrashState):
                    began = time.monotonic()
                    disk.advance(step)
                    self.tally.clock("write", began)
                    continue
                if number in chosen and self.tally.failing < MAX_FAILING and self._is_new(disk, step):
                    out.write(self._check(disk, step).to_json())
                    self._show_life()
                number += 1

    def _show_life(self) -> None:
        if time.monotonic() > self._alive + HEARTBEAT_S:
            self._alive = time.monotonic()
            self._scene.heartbeat()

    def _steps(self) -> Iterator[Entry | CrashState]:
        random = Random(self._scene.plan.seed)
        return steps(self._log.entries(), self._position, random, self._choice.samples)

    def _chosen(self) -> set[int]:
        """The numbers of the states to check, drawn evenly."""
        found, random = self.tally.found, Random(self._scene.plan.seed)
        return set(random.sample(range(found), min(found, self._choice.states)))

    def _is_new(self, disk: CrashDisk, state: CrashState) -> bool:
        """False for a disk that was checked already, against as much."""
        name = disk.name_of(state)
        if self._seen.get(name, -1) >= state.position:
            self.tally.same += 1
            return False
        self._seen[name] = state.position
        return True

    def _check(self, disk: CrashDisk, state: CrashState) -> StateSeen:
        began = time.monotonic()
        disk.build(state)
        began = self.tally.clock("build", began)
        seen = self._mount_and_read(state)
        began = self.tally.clock("mount, read, unmount", began)
        bad = bool(self._findings(seen))
        if not seen.unmountable and (bad or self.tally.checked % self._choice.fsck == 0):
            seen = StateSeen(seen.label, seen.position, "", self._complaint(), seen.files)
            began = self.tally.clock("fsck", began)
        self.tally.checked += 1
        if found := self._findings(seen):
            self.tally.failing += 1
            if self.tally.failing == 1:
                disk.build(state)
                foreign = any(finding.kind == "exposed" for finding in found)
                keep_image(self._mapped.path, self._scene.length_sectors, self._scene.directory / KEPT_STATE, foreign)
                self._scene.note(f"the first failing crash state is kept in {KEPT_STATE}: {state}")
        return seen

    def _findings(self, seen: StateSeen) -> list[Finding]:
        return outcome.findings(seen, self._expected.position(seen.position), self._scene.filesystem)

    def _mount_and_read(self, state: CrashState) -> StateSeen:
        scene = self._scene
        options = (*scene.filesystem.mount_options, *scene.plan.mount_options)
        try:
            with mounts.mount(self._mapped.path, scene.mount_point, scene.filesystem.type, options):
                files = {file.file: tuple(self._observe(file.name, file.content_file)) for file in scene.files}
        except mounts.MountFailed as error:
            return StateSeen(str(state), state.position, str(error), "", {})
        return StateSeen(str(state), state.position, "", "", files)

    def _observe(self, name: str, content_file: int) -> Iterator[Observation]:
        plan = self._scene.plan
        path = self._scene.files_directory / name
        return observe_file(path, run=plan.stamp_run, content_file=content_file, page_bytes=plan.page_bytes)

    def _complaint(self) -> str:
        """What fsck has against the state after its mount, "" if nothing."""
        check = self._scene.filesystem.check
        done = tools.run([*check.argv, str(self._mapped.path)], timeout_s=CHECK_TIMEOUT_S, ok=range(256))
        output = done.stdout + done.stderr
        return "" if check.is_clean(done.exit_code, output) else output[-4000:] or f"exit code {done.exit_code}"
