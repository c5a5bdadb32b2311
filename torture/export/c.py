"""`--c`: the C program and the shell script that drives it, in a directory of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torture.export.exportable import Exportable
from torture.export.program import write_program
from torture.export.script import PROGRAM, SCRIPT, write_script


def write_c(exportable: Exportable, directory: Path) -> list[Path]:
    """Write both, replacing what is there, and return their paths. Raises OSError."""
    program, script = directory / f"{PROGRAM}.c", directory / SCRIPT
    texts = {program: write_program(exportable, PROGRAM, SCRIPT), script: write_script(exportable)}
    return write_files(texts, script)


def write_files(texts: Mapping[Path, str], to_run: Path) -> list[Path]:
    """Write these texts, one of which is a script; their paths. Raises OSError."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    to_run.chmod(0o755)
    return list(texts)
