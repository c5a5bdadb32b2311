"""What a stranger says is a word in a script, a string in C, a line of a mail, and never an instruction."""

from __future__ import annotations

import ast
import email
import email.policy
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import torture.export
from tests.failures import PAGES, failure
from tests.unit.torture.export.nasty import checked, code_lines, commands, compiled, failures, is_shown, lexed, texts
from torture.errors import BadRequest
from torture.export.exportable import Exportable
from torture.export.failure import Failure, Frequency
from torture.export.fstests import write_test
from torture.export.mail import write_mail
from torture.export.program import write_program
from torture.export.script import write_script
from torture.plan import FilePlan, Plan
from torture.rig.record import KERNEL_LOG
from verify.finding import Finding

_ATTACKS = ("$(id)", "`id`", "x; id", "x' 'y", 'x" "y', "x\nid", "x\\", "*", "$HOME", "# x")
_BEGIN, _BEGIN_TEST = "# A filesystem on a device", "_scratch_mkfs_sized"


def _export(case: tuple[Plan, Finding]) -> Exportable:
    return Exportable.of(*case)


def _with(plan: Plan, **changes: object) -> Plan:
    return replace(plan, **changes)  # type: ignore[arg-type]


# -- attacks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", _ATTACKS)
def test_an_option_is_one_word_of_the_script(attack: str) -> None:
    plan, finding = failure("ext4", "hole")
    plan = _with(plan, mkfs_options=(attack,), mount_options=(attack, "noatime"))
    told = commands(write_script(_export((plan, finding))), _BEGIN)
    assert [*_export((plan, finding)).filesystem.mkfs, attack, "DM"] in told
    assert ["mount", "-t", "ext4", "-o", f"{attack},noatime", "DM", "MNT"] in told
    assert all(words[0] != "id" for words in told)


@pytest.mark.parametrize("attack", _ATTACKS)
@pytest.mark.parametrize("field", ["mkfs_options", "mount_options"])
def test_an_option_that_fstests_would_evaluate_is_refused(attack: str, field: str) -> None:
    plan, finding = failure("ext4", "hole")
    with pytest.raises(BadRequest, match="cannot stand in a test for fstests") as refused:
        told = commands(write_test(_export((_with(plan, **{field: (attack,)}), finding)), old=False), "\n\nM")
        pytest.fail(f"bash understands {told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("attack", ['1-hole" }, { "', "x\\", "??/", 'a"; system("id"); "', "x\ny", "\x1b[2J"])
def test_a_name_is_one_string_of_the_program(attack: str, tmp_path: Path) -> None:
    plan, finding = failure("ext4", "hole")
    worker = replace(plan.workers[0], path=attack)
    plan = _with(plan, files=(FilePlan(1, attack, "hole", PAGES),), workers=(worker,))
    (tmp_path / "x.c").write_text(program := write_program(_export((plan, finding)), "x", "y"))
    compiled(tmp_path / "x.c")
    assert attack.encode() in lexed(program).strings


@pytest.mark.parametrize("attack", ['*/ system("id"); /*', "/*", "??/", "@TABLE@", "@MEMLOCK@ x"])
@pytest.mark.parametrize("field", ["found", "expected", "reported", "layout"])
def test_what_a_finding_says_stays_in_its_comment(attack: str, field: str, tmp_path: Path) -> None:
    case = failure("ext4", "hole")
    said = (case[0], replace(case[1], **{field: attack, "pages": 1}))  # type: ignore[arg-type]
    (tmp_path / "x.c").write_text(program := write_program(_export(said), "x", "y"))
    compiled(tmp_path / "x.c")
    assert lexed(program).code == lexed(write_program(_export(case), "x", "y")).code


def test_a_layout_makes_no_mail_header(tmp_path: Path) -> None:
    plan, finding = failure("ext4", "hole", kind="short", pin="none")
    finding = replace(finding, layout="x\nBcc: y@z")
    mail = email.message_from_string(write_mail(Failure(plan, finding, tmp_path)), policy=email.policy.default)
    assert mail.keys() == ["Subject"] and r"on x\nBcc: y@z pages" in mail["Subject"]


@pytest.mark.parametrize("field", ["name", "expected", "found", "layout"])
def test_no_text_makes_a_section_of_a_mail(field: str, tmp_path: Path) -> None:
    plan, finding = failure("ext4", "hole")
    (tmp_path / KERNEL_LOG).write_bytes(b"\x1b[2Jx\rKernel log\n")
    finding = replace(finding, **{field: "x\n\nKernel log\n  all is well"})  # type: ignore[arg-type]
    text = write_mail(Failure(plan, finding, tmp_path))
    assert text.split("\n").count("Kernel log") == 1 and is_shown(text)


# -- whatever it is ------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(failures())
def test_whatever_it_says_a_script_runs_what_it_would_anyway(case: tuple[Plan, Finding]) -> None:
    """Word for word: the commands are those of the plan without options, but for the options, each of them one word."""
    plan, finding = case
    stand_ins = {f"MKFS-{number}": word for number, word in enumerate(plan.mkfs_options)}
    own = ",".join(_export(failure(plan.filesystem, "hole")).filesystem.mount_options)
    joined = ",".join(filter(None, (own, *plan.mount_options)))
    stand_ins[",".join(filter(None, (own, "MOUNTED")))] = joined
    tame = _with(plan, mkfs_options=tuple(list(stand_ins)[:-1]), mount_options=("MOUNTED",) * bool(plan.mount_options))
    try:
        script = write_script(_export(case))
    except BadRequest as error:
        assert not all(map(is_shown, (*plan.mkfs_options, *plan.mount_options))) and is_shown(str(error))
        return
    expected = commands(write_script(_export((tame, finding))), _BEGIN)
    assert commands(script, _BEGIN) == [[stand_ins.get(word, word) for word in command] for command in expected]
    assert code_lines(script, "set -u") == [] and is_shown(script)


@settings(max_examples=25, deadline=None)
@given(failures())
def test_whatever_it_says_shells_and_shellcheck_are_content(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Plan, Finding]
) -> None:
    home, scripts = tmp_path_factory.mktemp("scripts"), []
    plan, finding = case
    tame = _with(plan, mkfs_options=(), mount_options=())
    writers: dict[str, Callable[[], str]] = {
        "script": lambda: write_script(_export(case)),
        "today": lambda: write_test(_export((tame, finding)), old=False),
        "old": lambda: write_test(_export((tame, finding)), old=True),
    }
    for name, write in writers.items():
        with suppress(BadRequest):
            (home / name).write_text(write())
            scripts.append(home / name)
    if scripts:
        checked(scripts)


@settings(max_examples=150, deadline=None)
@given(failures(), st.booleans())
def test_whatever_it_says_a_test_for_fstests_has_plain_options_or_is_refused(case: tuple[Plan, Finding], old: bool) -> None:
    plan = case[0]
    plain = all(shlex.quote(word) == word for word in (*plan.mkfs_options, *plan.mount_options))
    try:
        text = write_test(_export(case), old=old)
    except BadRequest as error:
        assert not plain and is_shown(str(error))
        return
    assert plain and is_shown(text) and code_lines(text, "# fstests sets") == []


@settings(max_examples=40, deadline=None)
@given(failures(), texts.filter(lambda name: "\0" not in name))
def test_whatever_it_says_a_program_compiles_to_the_same_code(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Plan, Finding], name: str
) -> None:
    plan, finding = case
    layout = plan.files[0].layout
    worker = replace(plan.workers[0], path=name)
    source = tmp_path_factory.mktemp("c") / "x.c"
    nasty = _with(plan, files=(FilePlan(1, name, layout, PAGES),), workers=(worker,))
    source.write_text(program := write_program(_export((nasty, finding)), "x", "y"))
    compiled(source)
    tame = lexed(write_program(_export((plan, finding)), "x", "y"))
    own = plan.files[0].name.encode()
    assert lexed(program).code == tame.code and is_shown(program)
    assert lexed(program).strings == [it.replace(own, name.encode("utf-8", "surrogatepass")) for it in tame.strings]


_HEADINGS = ("Kernel and configuration", "Steps", "Expected", "Found", "Frequency", "First bad page", "Kernel log")


@settings(max_examples=150, deadline=None)
@given(failures(), st.lists(texts, max_size=5))
def test_whatever_it_says_a_mail_has_one_header_and_its_sections(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[Plan, Finding], log: list[str]
) -> None:
    home = tmp_path_factory.mktemp("mail")
    (home / KERNEL_LOG).write_bytes("\n".join(log).encode("utf-8", "surrogatepass"))
    text = write_mail(Failure(*case, home, frequency=Frequency(1, 2, "no control arm was run")))
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail.keys() == ["Subject"] and mail["Subject"].startswith("[BUG] ") and is_shown(text)
    sections = text.split("\n\n")
    assert [section.split("\n")[0] for section in sections[3:-1]] == list(_HEADINGS)
    assert all(line.startswith("  ") for section in sections[3:-1] for line in section.split("\n")[1:])


# -- the writers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["program", "script", "fstests", "files", "c", "mail", "bundle", "exportable"])
def test_a_writer_calls_code_only_what_stands_there(module: str) -> None:
    """Else a text that was read could be taken for code."""
    source = Path(torture.export.__path__[0], f"{module}.py").read_text()
    calls = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Code"
    ]
    assert all(isinstance(argument, ast.Constant) for call in calls for argument in call.args)
