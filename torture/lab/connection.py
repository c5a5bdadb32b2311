"""The host's end of the connection to an agent: requests, replies, deadlines, and the end of a guest's processes."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torture.lab import processes
from torture.lab.base import BOOT_TIMEOUT_S, PHASE_TIMEOUT_S, PROBE_TIMEOUT_S, GuestLost
from torture.lab.outbox import Outbox
from torture.plan import PLAN, Plan
from torture.rig.record import POWER_OFF

Launch = Callable[[int], "subprocess.Popen[bytes]"]
"""Starts a guest, given the descriptor of the socket that its serial line ends in."""

Watch = Callable[[int], Callable[[], str]]
"""Begins to watch the guest that a process leads: what is returned says what was done to it from outside, or ""."""

HOST_VIEW = "guest-processes.txt"
"""In a trial's directory: the processes of a guest whose trial did not go on, as the host saw them."""

_BLOCKED = "blocked.txt"
"""There too: the stuck tasks of a guest that still answers (torture.agent)."""
_NEEDS = {"phase": "name", "up": "kernel"}
"""What an answer has to say besides its event."""
_LONGEST_ANSWER_BYTES = 16 << 20
_SHOWN_BYTES = 80
_DUMP_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 10.0
_LOOK_S = 2.0


def unwatched(leader: int) -> Callable[[], str]:
    """Nothing is known of what may be done to the guest."""
    return str


class ConnectedGuest:
    """A guest whose agent answers on a socket, and whose processes are one session that a process leads.

    `launch` starts that process on the disk in `home`, and again on the same disk when the power was cut. `tag` is a
    NAME=VALUE that only this guest's processes have in their environment. `home`, which holds its disk and other scratch
    files, is removed when the guest ends, and so is `memory`, a directory outside of it. The guest has `boot_timeout_s` to
    come up. It leaves what it finds in its `outbox`; without one, in the very directory of `results` that it is to fill.
    """

    def __init__(
        self,
        launch: Launch,
        console: Path,
        results: Path,
        tag: str,
        home: Path,
        boot_timeout_s: float = BOOT_TIMEOUT_S,
        outbox: Outbox | None = None,
        memory: Path | None = None,
        watch: Watch = unwatched,
    ) -> None:
        self._launch, self._console, self._results = launch, console, results
        self._tag, self._home, self._boot_timeout_s = tag, home, boot_timeout_s
        self._outbox, self._memory, self._watch = outbox, memory, watch
        try:
            self._boot()
        except GuestLost:
            self._give_up()
            raise

    def _boot(self) -> None:
        self._pending, self._phase, self._harmed = b"", "", unwatched(0)
        self._serial, theirs = socket.socketpair()
        with theirs:
            self._process = self._launch(theirs.fileno())
        self.kernel = str(self._await("up", self._boot_timeout_s)["kernel"])
        self._harmed = self._watch(self._process.pid)

    @property
    def disk(self) -> Path:
        """The scratch disk, as a file of the host."""
        return self._home / "disk.img"

    def probe(self) -> dict[str, Any]:
        """See torture.trial.capabilities.Capabilities."""
        self._ask("probe")
        return self._await("capabilities", PROBE_TIMEOUT_S)

    def run(self, plan: Plan, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Run one trial; a phase that does not end in time is dumped, then the guest is given up."""
        (directory / PLAN).write_text(plan.to_json() + "\n")  # a terminal's input line holds 4095 bytes: N_TTY_BUF_SIZE
        self._carry_out("run", directory, on_phase)

    def examine(self, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Mount the image that is the guest's disk, read and check it as `directory` asks (torture.trial.examination)."""
        self._carry_out("examine", directory, on_phase)

    def _carry_out(self, request: str, directory: Path, on_phase: Callable[[str], None]) -> None:
        asked = self._outbox.lend(directory) if self._outbox else str(directory.relative_to(self._results))
        try:
            self._follow(request, asked, on_phase)
        except GuestLost as lost:
            dumped = lost.hung and self._dump(asked, directory)
            self._end_processes()
            self._take_back(directory)  # what can be had
            lost.evidence = _read(directory / _BLOCKED) if dumped else ""
            self._give_up()
            raise
        if left_behind := self._take_back(directory):
            self._give_up()
            raise GuestLost("; ".join(left_behind), self._phase, self._console)

    def _follow(self, request: str, asked: str, on_phase: Callable[[str], None]) -> None:
        """Ask the guest for something, in the directory that it knows as `asked`, and hear it out."""
        self._ask(request, directory=asked)
        while (reply := self._next(PHASE_TIMEOUT_S))["event"] != "done":
            self._check_unharmed()
            if reply["event"] == "phase" and reply["name"] == POWER_OFF:
                self._cut_power(asked)
            elif reply["event"] == "phase":
                self._phase = str(reply["name"])
                on_phase(self._phase)
        self._check_unharmed()
        self._phase = ""

    def _check_unharmed(self) -> None:
        """GuestLost if something was done to the guest from outside: what it says of a filesystem proves nothing then."""
        if harm := self._harmed():
            raise GuestLost(harm, self._phase, self._console)

    def _take_back(self, directory: Path) -> list[str]:
        return self._outbox.take_back(directory) if self._outbox else []

    def _cut_power(self, directory: str) -> None:
        """End every process of the guest, boot a fresh one on the same disk, and have it go on with the trial."""
        self._end_processes()
        self._serial.close()
        self._boot()
        self._ask("go-on", directory=directory)

    def end(self) -> None:
        """Ask the agent to end, wait a little, then use force on whatever is left."""
        with suppress(GuestLost, subprocess.TimeoutExpired):  # then it is killed, as everything else that is left
            self._ask("end")
            self._process.wait(_END_TIMEOUT_S)
        self._give_up()

    def _give_up(self) -> None:
        """Nothing is asked of it any more."""
        self.kill()
        self._serial.close()

    def kill(self) -> None:
        """Cut the power: end every process of the guest and remove its scratch files. From any thread: one that waits for
        an answer learns that the guest is gone, and keeps its descriptor until then."""
        self._end_processes()
        self._remove_home()

    def _remove_home(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
        if self._memory:
            shutil.rmtree(self._memory, ignore_errors=True)

    def _end_processes(self) -> None:
        """The session, and whoever left it but carries the tag."""
        with suppress(ProcessLookupError):  # another thread has just waited for it
            if self._process.returncode is None:  # until then, nobody else can have its number
                os.killpg(self._process.pid, signal.SIGKILL)
        processes.kill_tagged(self._tag)
        if self._outbox and self._outbox.user is not None:
            processes.kill_user(self._outbox.user)  # one that was taken over may have hidden its tag
        self._process.wait()
        with suppress(OSError):  # it was shut down, or closed, before
            self._serial.shutdown(socket.SHUT_RDWR)

    def _ask(self, request: str, **fields: Any) -> None:
        line = json.dumps({"op": request, **fields}).encode() + b"\n"
        try:
            self._serial.sendall(line)
        except OSError as error:
            raise GuestLost(f"the guest is gone ({error.strerror})", self._phase, self._console) from error

    def _await(self, event: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            reply = self._next(deadline - time.monotonic())
            if reply["event"] == event:
                return reply

    def _next(self, timeout_s: float) -> dict[str, Any]:
        """The next reply. GuestLost when the guest ends, was harmed from outside, or says nothing for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._serial], [], [], min(left, _LOOK_S))[0]:
                self._check_unharmed()
                if left <= _LOOK_S:
                    raise GuestLost(f"no answer for {timeout_s:.0f} s", self._phase, self._console, hung=True)
                continue
            chunk = self._receive()
            if not chunk:
                raise GuestLost("the guest died", self._phase, self._console)
            self._pending += chunk
            if len(self._pending) > _LONGEST_ANSWER_BYTES:
                raise GuestLost("the guest says more than any answer is long", self._phase, self._console)
        line, self._pending = self._pending.split(b"\n", 1)
        return self._understood(line)

    def _understood(self, line: bytes) -> dict[str, Any]:
        """A guest whose memory was corrupted, or that was taken over, may say anything."""
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        event = reply.get("event") if isinstance(reply, dict) else None
        if not isinstance(event, str) or _NEEDS.get(event, "event") not in reply:
            raise GuestLost(f"the guest says what is no answer: {line[:_SHOWN_BYTES]!r}", self._phase, self._console)
        return dict(reply)

    def _receive(self) -> bytes:
        try:
            return self._serial.recv(1 << 16)
        except ConnectionError:
            return b""

    def _dump(self, asked: str, directory: Path) -> bool:
        """Have a guest that still answers, and has timers, write down its stuck tasks; whether it did. What the host sees
        of it is left in the directory."""
        seen = "".join(map(processes.seen_from_host, processes.tagged(self._tag)))
        (directory / HOST_VIEW).write_text(seen)
        try:
            self._ask("dump", directory=asked)
            self._await("dumped", _DUMP_TIMEOUT_S)
        except GuestLost:
            return False
        return True


def _read(path: Path) -> str:
    """The text of a file that a guest may have left, "" if it did not."""
    return path.read_text(errors="replace") if path.is_file() else ""
