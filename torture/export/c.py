"""`--c`: the C program and the shell script that drives it, in a directory of their own."""

from __future__ import annotations

from pathlib import Path

from torture.export.exportable import Exportable
from torture.export.program import write_program
from torture.export.script import PROGRAM, SCRIPT, write_script


def write_c(exportable: Exportable, directory: Path) -> list[Path]:
    """Write both, replacing what is there, and return their paths. Raises OSError."""
    program, script = directory / f"{PROGRAM}.c", directory / SCRIPT
    texts = {program: write_program(exportable, PROGRAM, SCRIPT), script: write_script(exportable)}
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    script.chmod(0o755)
    return [program, script]
