"""The door to external commands, on real commands."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devicemapper import tools


def test_output_and_errors_are_returned_apart_and_whole() -> None:
    script = "import sys; sys.stdout.write('o' * 3_000_000); sys.stderr.write('e' * 2_000_000)"
    done = tools.run([sys.executable, "-c", script], timeout_s=30)
    assert (done.exit_code, len(done.stdout), len(done.stderr)) == (0, 3_000_000, 2_000_000)
    assert done.seconds > 0


def test_a_failure_carries_every_byte_of_what_was_said() -> None:
    script = "import sys; print('out'); sys.exit('\\n'.join(f'line {n}' for n in range(2000)))"
    with pytest.raises(tools.CommandFailed) as caught:
        tools.run([sys.executable, "-c", script], timeout_s=30)
    assert caught.value.exit_code == 1
    assert caught.value.stdout == "out\n"
    assert caught.value.stderr.splitlines() == [f"line {n}" for n in range(2000)]
    assert "line 0" in str(caught.value) and "line 1999" in str(caught.value)


def test_exit_codes_that_were_asked_for_are_no_failure() -> None:
    argv = ["sh", "-c", "exit 4"]
    assert tools.run(argv, timeout_s=10, ok=range(8)).exit_code == 4
    with pytest.raises(tools.CommandFailed):
        tools.run(argv, timeout_s=10, ok=(1, 2))


def test_a_command_killed_by_a_signal_says_which() -> None:
    argv = ["sh", "-c", "kill -SEGV $$"]
    with pytest.raises(tools.CommandFailed, match="killed by SIGSEGV"):
        tools.run(argv, timeout_s=10)
    assert tools.run(argv, timeout_s=10, ok=(-11,)).exit_code == -11


def test_input_is_read_to_its_end_and_there_is_none_by_default() -> None:
    assert tools.run(["cat"], timeout_s=10, input="0 8 zero\n").stdout == "0 8 zero\n"
    assert tools.run(["cat"], timeout_s=10).stdout == ""


def test_words_reach_the_command_as_they_are(tmp_path: Path) -> None:
    words = ["a b", "*", "$HOME", "'", '"', "\\", "", "-x", "line\nbreak", "ü"]
    done = tools.run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words], timeout_s=10)
    assert done.stdout.strip() == str(words)
    assert tools.run(["ls", tmp_path], timeout_s=10).argv == ("ls", str(tmp_path))


def test_the_locale_is_c_and_the_environment_can_be_added_to() -> None:
    script = 'echo "$LC_ALL $EXTRA ${HOME:+kept}"'
    assert tools.run(["sh", "-c", script], timeout_s=10, environment={"EXTRA": "1"}).stdout == "C 1 kept\n"


def test_output_that_is_not_utf8_is_kept_readable() -> None:
    assert tools.run(["printf", "a\\377b"], timeout_s=10).stdout == "a\\xffb"


def test_a_timeout_ends_the_command_with_all_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! > {pids}; echo started; sh -c 'echo $$ >> {pids}; sleep 60; true'"
    began = time.monotonic()
    with pytest.raises(tools.CommandTimeout) as caught:
        tools.run(["sh", "-c", script], timeout_s=0.5)
    assert time.monotonic() - began < 4
    assert caught.value.ended
    assert caught.value.stdout == "started\n"
    left = [int(pid) for pid in pids.read_text().split()]
    deadline = time.monotonic() + 10  # they were killed; on a busy machine it takes them a moment to be gone
    while (left := [pid for pid in left if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_a_child_left_behind_with_the_output_open_is_not_waited_for() -> None:
    began = time.monotonic()
    assert tools.run(["sh", "-c", "sleep 5 & echo done"], timeout_s=20).stdout == "done\n"
    assert time.monotonic() - began < 3


def test_an_interrupt_ends_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(pid: int, timeout_s: float) -> bool:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(tools, "exited", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tools.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 60; true"], timeout_s=30)
    _await_end(int((tmp_path / "pid").read_text()))


def test_a_missing_program_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_search_path", lambda: "/nowhere")
    with pytest.raises(tools.CommandMissing) as caught:
        tools.run(["dmsetup", "ls"], timeout_s=10)
    assert str(caught.value) == "dmsetup is not installed (Debian package dmsetup)"
    with pytest.raises(tools.CommandMissing, match=r"^frobnicate is not installed$"):
        tools.run(["frobnicate"], timeout_s=10)


def test_a_program_that_cannot_be_executed_is_a_failure_with_the_reason(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(tools.CommandFailed, match="exit code 126: FileNotFoundError"):
        tools.run([program], timeout_s=10)


def test_programs_are_found_in_sbin_with_the_path_of_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = tools.find("losetup")
    assert found is not None and found.name == "losetup"


def test_the_log_is_ready_to_paste_into_bash(tmp_path: Path) -> None:
    log = tmp_path / "commands.log"
    with tools.logging_to(log):
        tools.run(["sh", "-c", "cat; echo it\\'s; exit 1"], 10, "it's\n2 \\ lines\n", (1,), {"NAME": "a b"})
    tools.run(["true"], timeout_s=10)
    command, ended = log.read_text().splitlines()
    assert ended.startswith("# exit code 1 after ")
    pasted = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (pasted.returncode, pasted.stdout) == (1, "it's\n2 \\ lines\nit's\n")


def test_no_descriptor_is_left_open() -> None:
    tools.run(["true"], timeout_s=10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for argv in (["true"], ["false"]):
        tools.run(argv, timeout_s=10, ok=(0, 1))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _await_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
