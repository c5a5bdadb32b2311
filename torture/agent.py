"""The agent: what runs inside a lab, as `python -m torture.agent`.

It stands alone so that a guest can start it as its first process and so that the process which forks for every trial,
worker and command stays small. It talks JSON lines with `torture.lab.connection` on the host: over a serial line in a
virtual machine or User-mode Linux, over a socket in the local lab. Each trial is a child process of its own, so that
the agent always answers, and a trial that breaks or hangs takes nothing with it.

Requests: ping, probe, run, go-on, examine, dump, end. Replies: up, pong, capabilities, phase, done, dumped.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import signal
import subprocess
import time
import traceback
import tty
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devicemapper import namespaces
from torture.plan import PLAN
from torture.plan_check import read_plan
from torture.rig import machine as machines
from torture.rig.machine import Machine
from torture.trial import capabilities
from torture.trial import trial as trials
from torture.trial.examination import examine
from workloads import memory_cgroup

_READ_BYTES = 1 << 16
_TIMER_PROOF_S = 0.05
_SHARES = {"hostfs": ("hostfs", ""), "9p": ("results", "trans=virtio,version=9p2000.L,access=any,msize=262144")}
"""By filesystem type: source and options of the mount of the host's directory; without options, they are its path."""


class Channel:
    """JSON lines over one descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._pending = b""

    def say(self, event: str, **fields: Any) -> None:
        """Send one reply, whole."""
        line = json.dumps({"event": event, **fields}).encode() + b"\n"
        while line:
            line = line[os.write(self.descriptor, line) :]

    def requests(self) -> list[dict[str, Any]]:
        """The requests that have arrived. EOFError when the other end is gone."""
        chunk = os.read(self.descriptor, _READ_BYTES)
        if not chunk:
            raise EOFError
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


class Agent:
    """Answers requests until told to end; at most one trial runs at a time."""

    def __init__(self, channel: Channel, machine: Machine, results: Path) -> None:
        self._channel, self._machine, self._results = channel, machine, results
        self._trial = 0
        self._trial_output = -1

    def serve(self) -> None:
        """The loop: requests from the host, announcements from the trial."""
        self._channel.say("up", kernel=os.uname().release)
        while True:
            watched = [self._channel.descriptor] + ([self._trial_output] if self._trial else [])
            ready, _, _ = select.select(watched, [], [])
            if self._trial and self._trial_output in ready:
                self._relay()
            if self._channel.descriptor in ready:
                for request in self._channel.requests():
                    if request["op"] == "end":
                        return
                    self._answer(request)

    def end_trial(self) -> None:
        """Kill the trial under way, if any."""
        if self._trial:
            os.kill(self._trial, signal.SIGKILL)
            os.waitpid(self._trial, 0)
            self._trial = 0

    def _answer(self, request: dict[str, Any]) -> None:
        match request["op"]:
            case "ping":
                self._channel.say("pong")
            case "probe":
                self._channel.say("capabilities", **asdict(capabilities.probe(self._machine)))
            case "run":
                directory = self._results / request["directory"]
                plan = read_plan((directory / PLAN).read_text())
                self._start(lambda announce: trials.run_trial(plan, self._machine, directory, announce), directory)
            case "go-on":
                directory = self._results / request["directory"]
                plan = read_plan((directory / PLAN).read_text())
                self._start(lambda announce: trials.go_on(plan, self._machine, directory, announce), directory)
            case "examine":
                directory = self._results / request["directory"]
                self._start(lambda announce: examine(self._machine, directory, announce), directory)
            case "dump":
                self._dump(self._results / request["directory"])

    def _start(self, trial: Callable[[trials.Announce], object], directory: Path) -> None:
        self._trial_output, write_end = os.pipe()
        self._trial = os.fork()
        if self._trial == 0:
            _run_trial(trial, directory, write_end)
        os.close(write_end)

    def _relay(self) -> None:
        text = os.read(self._trial_output, _READ_BYTES)
        for phase in text.decode().split():
            self._channel.say("phase", name=phase)
        if not text:
            os.close(self._trial_output)
            _, status = os.waitpid(self._trial, 0)
            self._trial = 0
            self._channel.say("done", exit_code=os.waitstatus_to_exitcode(status))

    def _dump(self, directory: Path) -> None:
        """Where every task is stuck that neither sleeps nor is ours, for a trial that does not go on.

        Only a guest whose timers still fire comes to the end of it: in one whose timers are dead everything waits for
        ever, a filesystem that is to be thawed after a while included, and the filesystem is not to blame.
        """
        time.sleep(_TIMER_PROOF_S)
        with open(directory / "blocked.txt", "w", encoding="utf-8", errors="replace") as out:
            for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
                if process.name != str(os.getpid()):
                    out.write(_stuck_task(process))
        self._channel.say("dumped")


def _run_trial(trial: Callable[[trials.Announce], object], directory: Path, output: int) -> None:
    """The trial's process: announces phases on `output`, leaves everything else in `directory`, and exits."""
    status = 1
    try:
        trial(lambda phase: _announce(output, phase))
        status = 0
    except BaseException:
        (directory / "traceback.txt").write_text(traceback.format_exc())
    finally:
        os._exit(status)


def _announce(output: int, phase: str) -> None:
    os.write(output, f"{phase}\n".encode())


def _stuck_task(process: Path) -> str:
    """State and kernel stack of a task in uninterruptible sleep, or one that runs; "" for every other."""
    try:
        name, _, rest = (process / "stat").read_text().rpartition(")")
        state = rest.split()[0]
        if state not in "DR":
            return ""
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        command = command or name.partition("(")[2]  # a thread of the kernel has no command line
        stack = (process / "stack").read_text() if os.geteuid() == 0 else ""
        return f"{process.name} {state} {command}\n{stack}\n"
    except (OSError, IndexError):
        return ""  # the task is gone


def _open_channel(name: str) -> Channel:
    if name.isdigit():
        return Channel(int(name))
    descriptor = os.open(name, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    return Channel(descriptor)


def _prepare_guest(options: argparse.Namespace) -> None:
    """First process of a guest: mount what a kernel needs, and the host's directory for results."""
    for kind, place in (
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("devtmpfs", "/dev"),
        *(("tmpfs", place) for place in options.scratch),
    ):
        if not os.path.ismount(place):
            subprocess.run(["mount", "-n", "-t", kind, kind, place], check=True)
    results = Path(options.scratch[0]) / "results"
    results.mkdir()
    source, how = _SHARES[options.share]
    how = how or options.results
    subprocess.run(["mount", "-n", "-t", options.share, "-o", how, source, str(results)], check=True)


def _module_tree(work: Path, source: str) -> str:
    """A root for `modprobe -d` with the modules of `source`: of this kernel, or of several, by release."""
    if not source:
        return ""
    several = work / "kmod/lib/modules"
    several.parent.mkdir(parents=True)
    if (Path(source) / "modules.dep").exists():
        several.mkdir()
        (several / os.uname().release).symlink_to(source)
    else:
        several.symlink_to(source)
    return str(work / "kmod")


def main() -> None:
    """Entry point; see `torture.lab` for who starts it and how."""
    parser = argparse.ArgumentParser(prog="python -m torture.agent")
    parser.add_argument("--channel", required=True, help="a descriptor number or a tty")
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--disk", required=True, type=Path)
    parser.add_argument("--spare", action="append", default=[], type=Path, help="a disk for logs and copies")
    parser.add_argument("--results", required=True, help="the host's directory")
    parser.add_argument("--share", choices=_SHARES, help="guest: the filesystem type by which it has that directory")
    parser.add_argument("--modules", default="", help="guest: a directory of kernel modules")
    parser.add_argument("--load", action="append", default=[], help="guest: a module that it needs from the start")
    parser.add_argument("--scratch", nargs="+", default=[], help="guest: directories to mount a tmpfs on")
    parser.add_argument("--work", type=Path, help="local: a directory for mounts")
    options = parser.parse_args()
    os.umask(0o022)  # workers are another user, and are to reach the files that are laid out here
    if options.scratch:
        _prepare_guest(options)
    else:
        namespaces.make_own()  # what is mounted from here on is nobody's business on a machine that people use
    os.environ.setdefault(memory_cgroup.OWNER, options.run_id)
    work = options.work or Path(options.scratch[0]) / "work"
    work.mkdir(exist_ok=True)
    modules = _module_tree(work, options.modules)
    for name in options.load:
        machines.load_module(name, modules)
    device_mapper = machines.has_device_mapper(modules)
    machine = Machine(
        options.disk,
        work,
        options.run_id,
        device_mapper,
        modules,
        spares=tuple(options.spare),
        expendable=bool(options.scratch),
    )
    results = Path(options.scratch[0]) / "results" if options.scratch else Path(options.results)
    gc.freeze()
    agent = Agent(_open_channel(options.channel), machine, results)
    try:
        agent.serve()
    except EOFError:
        pass  # the host is gone, or wants this guest to end: there is nobody to tell
    finally:
        agent.end_trial()
    if options.scratch:
        Path("/proc/sysrq-trigger").write_text("o")
        signal.pause()


if __name__ == "__main__":
    main()
