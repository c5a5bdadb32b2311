"""The make targets: what they run, and what `make demo` says about the exit code of `torture run`."""

import pytest

from tests.unit.setup.stand_in_machine import ROOT, Machine

COMPLETED = {0: "pass", 3: "fail", 5: "unknown", 6: "late and nothing worse"}
NOT_COMPLETED = {1: "the tool itself broke", 2: "usage", 4: "nothing ran", 130: "interrupted", 77: "killed"}


def _demo(machine: Machine, code: int) -> tuple[int, str]:
    machine.has("fake-torture", f'#!/bin/sh\necho "torture $*" >>"$LOG"\nexit {code}\n')
    done = machine.run("make", "demo", "TORTURE=fake-torture")
    return done.returncode, done.stdout


@pytest.mark.parametrize(("code", "words"), COMPLETED.items())
def test_demo_succeeds_whatever_a_completed_run_found(machine: Machine, code: int, words: str) -> None:
    """The code is said in words, and torture ran without options, after the set-up."""
    status, output = _demo(machine, code)
    assert status == 0 and f"exit code {code}: {words}" in output
    assert machine.asked("torture") == ["run"] and machine.installed()


@pytest.mark.parametrize(("code", "words"), NOT_COMPLETED.items())
def test_demo_fails_when_the_run_did_not_complete(machine: Machine, code: int, words: str) -> None:
    """The code is said in words here too."""
    status, output = _demo(machine, code)
    assert status != 0 and f"exit code {code}: " in output and words in output


@pytest.mark.parametrize("target", ["demo", "check", "test", "bench"])
def test_each_target_alone_sets_up_first(machine: Machine, target: str) -> None:
    """On a fresh clone any of them may be the first command."""
    steps = machine.run("make", "-n", target).stdout.splitlines()
    assert steps[0].startswith("sh setup/install.sh") and len(steps) > 1


def test_only_the_tests_need_what_the_qemu_lab_needs(machine: Machine) -> None:
    """The demonstration is not kept waiting for it."""
    steps = {target: machine.run("make", "-n", target).stdout for target in ("demo", "test", "qemu")}
    assert [target for target, all_steps in steps.items() if "install.sh qemu" in all_steps] == ["test", "qemu"]


def test_tests_come_last_so_that_their_summary_ends_the_output(machine: Machine) -> None:
    """Linters run before them."""
    *linters, tests = (line.split()[0] for line in machine.run("make", "-n", "test").stdout.splitlines())
    assert tests == ".venv/bin/pytest"
    assert {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports"} < set(linters)


def test_continuous_integration_runs_the_tests_with_no_input(machine: Machine) -> None:
    """Its exit code is that of make test, whatever directory it starts in."""
    script = ROOT / ".ci/run"
    ci = machine.tree / ".ci"
    ci.mkdir()
    (ci / "run").write_text(script.read_text())
    machine.has("make", '#!/bin/sh\necho "make $* in $PWD" >>"$LOG"; cat; exit 7\n')
    assert machine.run("bash", ".ci/run").returncode == 7
    assert machine.asked("make") == [f"test in {machine.tree}"]
