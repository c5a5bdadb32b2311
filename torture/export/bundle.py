"""`--bundle`: one archive with everything about a failure, and how to bring it back elsewhere."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

from torture.campaign.artefacts import IMAGE
from torture.campaign.setting import shell_word
from torture.errors import BadRequest
from torture.export.exportable import Exportable, title
from torture.export.failure import Failure, evidence
from torture.export.mail import write_mail
from torture.export.program import write_program
from torture.export.script import PROGRAM, SCRIPT, write_script
from torture.lab.choose import LAB_CLASSES, UML
from torture.reproduce.subject import FINDING, PLAN
from torture.results.versions import VERSIONS
from verify import codec
from verify.descriptors import kept_files, opened_kept, read_kept
from verify.printable import printable

README = "README"


def write_bundle(failure: Failure, archive: Path) -> None:
    """Write the archive (tar, gzip). Raises OSError, and BadRequest for evidence that cannot be used."""
    root = archive.name.partition(".")[0] or "torture"
    made = _made(failure)
    with evidence():
        kept = {path.name: path for path in kept_files(failure.directory)} if failure.directory else {}
        made[README] = _readme(failure, sorted({*made, *kept, README}))
    with tarfile.open(archive, "w:gz") as out:
        for name, path in kept.items():
            if name not in made:
                with opened_kept(path) as content:
                    out.addfile(out.gettarinfo(arcname=f"{root}/{name}", fileobj=content), content)
        for name, text in sorted(made.items()):
            entry, encoded = tarfile.TarInfo(f"{root}/{name}"), text.encode()
            entry.size, entry.mtime = len(encoded), int(time.time())
            out.addfile(entry, io.BytesIO(encoded))


def _made(failure: Failure) -> dict[str, str]:
    """What is written for the bundle, by name; it replaces what is kept."""
    made = {PLAN: failure.plan.to_json() + "\n"}
    if failure.versions:
        made[VERSIONS] = codec.encode(failure.versions, indent=1) + "\n"
    if failure.finding:
        made[FINDING] = codec.encode(failure.finding, indent=1) + "\n"
        made["mail.txt"] = write_mail(failure)
    try:
        ready = Exportable.of(failure.plan, failure.finding, failure.record.found)
        made |= {f"{PROGRAM}.c": write_program(ready, PROGRAM, SCRIPT), SCRIPT: write_script(ready)}
    except BadRequest as error:
        made["no-program.txt"] = f"{error}\n"
    return made


_MEANING = {
    PLAN: "the whole recipe of the trial",
    FINDING: "the broken promise, as data",
    VERSIONS: "kernel, mkfs and options it was seen with",
    "mail.txt": "the bug report",
    "no-program.txt": "why there is no C program",
    f"{PROGRAM}.c": "reproduces it without torture",
    SCRIPT: "drives that program: sh reproduce.sh DEVICE, as root",
    "ledger.jsonl": "every store and sync, intent and result",
    "record.json": "phases, proofs that the fault fired, fsck",
    "kernel.log": "what the kernel said",
    "commands.log": "every command that was run",
    "extents.txt": "where the files lie",
    IMAGE: "the disk as the trial left it",
    "pages.txt": "every bad page",
    "first-bad-page.txt": "the first bad page in hex",
    "checked.txt": "what fsck said",
}


def _readme(failure: Failure, names: list[str]) -> str:
    lines = [
        title(failure.plan, failure.finding),
        "",
        "To replay it elsewhere:",
        "",
        *_commands(failure, IMAGE in names),
        "",
        "Files:",
        "",
    ]
    lines += [f"  {name:20} {_MEANING.get(name, _read(name))}".rstrip() for name in names if name != README]
    if failure.directory and (failure.directory / README).exists():
        recorded = read_kept(failure.directory / README).decode(errors="replace")
        lines += ["", "As recorded:", "", *(f"  {line}" for line in recorded.rstrip().split("\n"))]
    return "\n".join(map(printable, lines)) + "\n"


def _commands(failure: Failure, has_image: bool) -> list[str]:
    """With a finding, the unpacked directory is one. Whoever replays it names lab and kernel (see campaign.setting): the
    recorded kernel is somewhere else elsewhere."""
    replay = "torture replay ." if failure.finding else f"torture replay {PLAN}"
    versions = failure.versions
    words = "".join(f" --kernel-arg {shell_word(word)}" for word in ((versions and versions.arguments) or "").split())
    commands = [f"  {replay}"]
    lab = versions.lab if versions else UML
    if kind := LAB_CLASSES[lab].kernel_kind:
        commands.append(f"  {replay} --kernel PATH-OF-A-{kind.upper().replace(' ', '-')}{words}")
    else:
        commands.append(f"  {replay} --lab {lab}")
    if failure.finding and has_image:
        commands += ["", "To judge the kept disk again:", "", f"  torture verify . --image {IMAGE}"]
    return commands


def _read(name: str) -> str:
    for read in ("warm", "cold"):
        if name.startswith(f"{read}-"):
            return f"what the {read} read saw of file {name.removeprefix(f'{read}-').partition('.')[0]}"
    return ""
