"""The one door to external commands, through `sh`.

Argument lists and no shell; C locale; output and errors whole, never truncated; every command bounded in time. Each
command leads a session of its own, so that a timeout ends it with everything it started. Each is logged as one line
ready to paste into bash.

Output goes to memory files instead of pipes, so that nothing waits for a grandchild that keeps a pipe open.

Cost, seen in User-mode Linux 6.1 on an idle machine: 41 to 46 ms a command from a process of 24 MB resident, 54 ms from
one of 37 MB, 64 ms from one of 80 MB; page faults after the fork are nearly all of it. A small server process to fork
from would gain 10 ms and is not worth having.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shlex
import shutil
import signal
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import sh

from devicemapper.errors import BlockStackError
from devicemapper.packages import PACKAGES
from verify.closing import Closing

if TYPE_CHECKING:
    from io import FileIO

    from sh import RunningCommand

_log = logging.getLogger(__name__)
_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
_KILL_GRACE_S = 5.0
_CANNOT_EXECUTE = 126  # the shell's exit code for a program that is there and cannot be executed
_NOTHING: Mapping[str, str] = MappingProxyType({})

logging.getLogger("sh").setLevel(logging.WARNING)  # sh would log each command a second time


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended with an exit code in `ok`."""

    argv: tuple[str, ...]
    exit_code: int
    """A negative one is the signal that killed it."""
    stdout: str
    stderr: str
    seconds: float


@dataclass(eq=False)
class CommandFailed(BlockStackError):
    """A command ended with an exit code that was not asked for. All of its output is kept."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        ended = f"exit code {self.exit_code}"
        if self.exit_code < 0:
            ended = f"killed by {signal.Signals(-self.exit_code).name}"
        said = (self.stderr.strip() or self.stdout.strip()) or "it said nothing"
        return f"{shlex.join(self.argv)}: {ended}: {said}"


@dataclass(eq=False)
class CommandMissing(BlockStackError):
    """A program is not installed."""

    program: str

    def __str__(self) -> str:
        package = PACKAGES.get(self.program)
        return f"{self.program} is not installed" + (f" (Debian package {package})" if package else "")


@dataclass(eq=False)
class CommandTimeout(BlockStackError):
    """A command did not end in time and was killed."""

    argv: tuple[str, ...]
    timeout_s: float
    stdout: str
    stderr: str
    ended: bool
    """False if it is blocked in the kernel, so that even a kill did not end it."""

    def __str__(self) -> str:
        state = "and was killed" if self.ended else "and cannot be killed: it is blocked in the kernel"
        said = self.stderr.strip()
        return f"{shlex.join(self.argv)}: did not end within {self.timeout_s:g} s {state}{': ' if said else ''}{said}"


def find(program: str) -> Path | None:
    """The absolute path of a program; looks in the sbin directories too, which an ordinary user's PATH lacks."""
    found = shutil.which(program, path=_search_path())
    return Path(found).absolute() if found else None


def run(
    argv: Sequence[str | os.PathLike[str]],
    timeout_s: float,
    input: str | None = None,
    ok: Container[int] = (0,),
    environment: Mapping[str, str] = _NOTHING,
) -> Completed:
    """Run a command and wait for it. `input` is its standard input (none: /dev/null), `environment` is added to ours.

    Raises CommandMissing, CommandTimeout after `timeout_s`, CommandFailed when the exit code is not in `ok`.
    """
    words = tuple(os.fspath(word) for word in argv)
    program = find(words[0])
    if program is None:
        raise CommandMissing(words[0])
    _log.info("%s", paste_line(words, input, environment))
    began = time.monotonic()
    with _Streams(input or "") as streams:
        exit_code = _wait(_start(program, words, streams, environment), words, timeout_s, streams)
        seconds = time.monotonic() - began
        stdout, stderr = streams.read()
    _log.info("# exit code %d after %.3f s", exit_code, seconds)
    if exit_code not in ok:
        raise CommandFailed(words, exit_code, stdout, stderr)
    return Completed(words, exit_code, stdout, stderr, seconds)


def note(argv: Sequence[str], seconds: float, input: str | None = None) -> None:
    """Log a command that was not needed, because the same was done by system call in `seconds`."""
    _log.info("%s", paste_line(argv, input))
    _log.info("# done by system call in %.3f s", seconds)


def paste_line(argv: Sequence[str], input: str | None = None, environment: Mapping[str, str] = _NOTHING) -> str:
    """The command as one line of bash, its standard input as a here-string."""
    line = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment.items()), shlex.join(argv)])
    if input is None:
        return line.replace("\n", "\\n")
    escaped = input.removesuffix("\n").replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"{line} <<< $'{escaped}'"


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append the line of every command run meanwhile, and a comment with how it ended, to a file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    level = _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(level)
        _log.removeHandler(handler)
        handler.close()


class _Streams(Closing):
    """Standard input, output and error of one command, each a file in memory."""

    def __init__(self, input: str) -> None:
        self.stdin, self.stdout, self.stderr = (os.fdopen(os.memfd_create("command"), "w+b", buffering=0) for _ in range(3))
        os.pwrite(self.stdin.fileno(), input.encode(), 0)

    def close(self) -> None:
        for file in (self.stdin, self.stdout, self.stderr):
            file.close()

    def read(self) -> tuple[str, str]:
        """Everything written to output and error so far."""
        return _text(self.stdout), _text(self.stderr)


def _text(file: FileIO) -> str:
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "backslashreplace")


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_DIRECTORIES])


def _start(program: Path, argv: tuple[str, ...], streams: _Streams, environment: Mapping[str, str]) -> RunningCommand:
    """Start a command through sh, in the background and in a session of its own."""
    try:
        return sh.Command(str(program))(
            *argv[1:],
            _in=streams.stdin,
            _out=streams.stdout,
            _err=streams.stderr,
            _tty_out=False,
            _bg=True,
            _bg_exc=False,
            _new_session=True,
            _truncate_exc=False,
            _env={**os.environ, "PATH": _search_path(), "LC_ALL": "C", **environment},
        )
    except sh.ForkException as error:
        reason = str(error).strip().rsplit("\n", 1)[-1]
        raise CommandFailed(argv, _CANNOT_EXECUTE, "", reason) from error


def _wait(process: RunningCommand, argv: tuple[str, ...], timeout_s: float, streams: _Streams) -> int:
    try:
        in_time = exited(process.pid, timeout_s)
    except BaseException:
        _kill_session(process.pid)
        raise
    if not in_time:
        _kill_session(process.pid)
    ended = in_time or exited(process.pid, _KILL_GRACE_S)
    if ended:
        with contextlib.suppress(sh.ErrorReturnCode):
            process.wait()
    if not in_time:
        raise CommandTimeout(argv, timeout_s, *streams.read(), ended)
    return int(process.exit_code)


def exited(pid: int, timeout_s: float) -> bool:
    """Wait for the end of a child without reaping it, which is for sh to do (and a thread of sh may be first)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _kill_session(leader: int) -> None:
    """Kill a command and its children: all are in the process group that it leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
