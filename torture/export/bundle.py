"""`--bundle`: one archive with everything about a failure, and how to bring it back elsewhere."""

from __future__ import annotations

import io
import json
import tarfile
import time
from dataclasses import asdict
from pathlib import Path

from torture.campaign.artefacts import IMAGE
from torture.errors import BadRequest
from torture.export.exportable import recipe, title
from torture.export.mail import write_mail
from torture.export.program import write_program
from torture.export.script import PROGRAM, SCRIPT, write_script
from torture.export.subject import Source
from torture.lab.choose import LAB_CLASSES, UML
from torture.reproduce.subject import FINDING, PLAN, VERSIONS

README = "README"


def write_bundle(source: Source, archive: Path) -> None:
    """Write the archive (tar, gzip). Raises OSError."""
    root = archive.name.partition(".")[0] or "torture"
    made = _made(source)
    made[README] = _readme(source, sorted({*made, *(path.name for path in _kept(source)), README}))
    with tarfile.open(archive, "w:gz") as out:
        for path in _kept(source):
            if path.name not in made:
                out.add(path, f"{root}/{path.name}")
        for name, text in sorted(made.items()):
            entry = tarfile.TarInfo(f"{root}/{name}")
            content = text.encode()
            entry.size, entry.mtime = len(content), int(time.time())
            out.addfile(entry, io.BytesIO(content))


def _kept(source: Source) -> list[Path]:
    """The files of the finding or trial."""
    return sorted(path for path in source.directory.iterdir() if path.is_file()) if source.directory else []


def _made(source: Source) -> dict[str, str]:
    """What is written for the bundle, by name; it replaces what is kept."""
    made = {PLAN: source.plan.to_json() + "\n", VERSIONS: json.dumps(source.versions, indent=1) + "\n"}
    if source.finding:
        made[FINDING] = json.dumps(asdict(source.finding), indent=1) + "\n"
        made["mail.txt"] = write_mail(source)
    try:
        ready = recipe(source.plan, source.finding)
    except BadRequest as error:
        made["no-program.txt"] = f"{error}\n"
    else:
        made[f"{PROGRAM}.c"] = write_program(ready, PROGRAM, SCRIPT)
        made[SCRIPT] = write_script(ready)
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


def _readme(source: Source, names: list[str]) -> str:
    kept = source.directory / README if source.directory else None
    lines = [
        title(source.plan, source.finding),
        "",
        "To replay it elsewhere:",
        "",
        *_commands(source),
        "",
        "Files:",
        "",
    ]
    lines += [f"  {name:20} {_MEANING.get(name, _read(name))}".rstrip() for name in names if name != README]
    if kept and kept.exists():
        lines += ["", "As recorded:", "", kept.read_text().rstrip()]
    return "\n".join(lines) + "\n"


def _commands(source: Source) -> list[str]:
    """With a finding, the unpacked directory is one; it names the recorded kernel, which is somewhere else elsewhere."""
    replay = "torture replay ." if source.finding else f"torture replay {PLAN}"
    arguments = source.versions.get("arguments", "")
    words = "".join(f" --kernel-arg {word}" for word in arguments.split())
    commands = [f"  {replay}"]
    if kind := LAB_CLASSES[source.versions.get("lab", UML)].kernel_kind:
        commands.append(f"  {replay} --kernel PATH-OF-A-{kind.upper().replace(' ', '-')}{words}")
    if source.finding and source.directory and (source.directory / IMAGE).exists():
        commands += ["", "To judge the kept disk again:", "", f"  torture verify . --image {IMAGE}"]
    return commands


def _read(name: str) -> str:
    for read in ("warm", "cold"):
        if name.startswith(f"{read}-"):
            return f"what the {read} read saw of file {name.removeprefix(f'{read}-').partition('.')[0]}"
    return ""
