"""The directory of a finding: what a maintainer asks for, kept the first time a finding is seen.

Called in a job's thread right after the trial, while the guest's disk still holds what the trial left.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import threading
from pathlib import Path

from devicemapper import tools
from devicemapper.errors import BlockStackError
from torture.filesystems import filesystem
from torture.report.summary import detail
from torture.report.terminal import echo
from torture.results.groups import Key, key_in
from torture.results.store import Trial
from torture.results.versions import VERSIONS, Versions
from torture.rig.record import Record
from verify import codec, stamp
from verify.finding import Finding
from verify.observation import Page, read_observations
from verify.printable import printable_lines

FINDINGS = "findings"
IMAGE = "disk.img.gz"
_PART = ".part"
"""How the name of a directory ends that is being made: what was killed meanwhile is begun again."""
_CHUNK_BYTES = 1 << 20
_ON_FINDING_TIMEOUT_S = 600.0
_HEX_SECTORS = 8
_HEX_COLUMNS = 16


def slug(key: Key) -> str:
    """The name of a finding's directory: readable, and different for different findings."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
    parts = (key.filesystem.replace(":", "-"), key.layout or "whole", key.fault, key.kind, digest)
    return "-".join(part.replace("+", "-") for part in parts)


class Keeper:
    """Keeps each distinct finding once, as long as `budget_bytes` last. Thread-safe.

    `lab_facts` are by the label of the kernel. The program `on_finding` is started with every directory that is made.
    """

    def __init__(
        self, run_directory: Path, lab_facts: dict[str, dict[str, str]], budget_bytes: int, on_finding: str = ""
    ) -> None:
        self._root = run_directory / FINDINGS
        self._lab_facts = lab_facts
        self._left_bytes = budget_bytes
        self._on_finding = on_finding
        self._lock = threading.Lock()
        self._untold: list[Path] = []
        self._begun: set[Path] = set()
        for part in self._root.glob(f"*{_PART}"):
            shutil.rmtree(part)

    def keep(self, trial: Trial, directory: Path, disk: Path) -> None:
        """Make the directory of every finding of `trial` that has none yet."""
        if trial.is_canary:
            return
        for key, finding in {key_in(trial.plan, finding): finding for finding in trial.verdict.findings}.items():
            home, part = self._root / slug(key), self._root / (slug(key) + _PART)
            with self._lock:
                if home.exists() or home in self._begun:
                    continue
                self._begun.add(home)
            part.mkdir(parents=True)
            self._fill(part, home, trial, finding, directory, disk)
            part.rename(home)
            with self._lock:
                self._untold.append(home)

    def finished(self, _: Trial) -> None:
        """A trial was stored: what was kept of it can be told."""
        with self._lock:
            untold, self._untold = self._untold, []
        for home in untold if self._on_finding else ():
            threading.Thread(target=_tell, args=(self._on_finding, home), daemon=True).start()

    def _fill(self, part: Path, home: Path, trial: Trial, finding: Finding, directory: Path, disk: Path) -> None:
        """Write into `part` what is to lie in `home`."""
        for entry in directory.iterdir():
            shutil.copy2(entry, part / entry.name, follow_symlinks=False)
        (part / "finding.json").write_text(codec.encode(finding, indent=1))
        (part / "README").write_text(printable_lines(detail(trial, home)) + "\n")
        (part / "pages.txt").write_text(page_table(trial))
        (part / "first-bad-page.txt").write_text(first_bad_page(directory, finding))
        versions = {**self._lab_facts[trial.kernel], "kernel": trial.release, **tool_versions(trial)}
        (part / VERSIONS).write_text(codec.encode(codec.from_plain(Versions, versions), indent=1))
        (part / "checked.txt").write_text(
            "\n".join(f"$ {command}\n{output}" for command, _, output in Record.read(directory).checked)
        )
        self._keep_image(part / IMAGE, trial, disk)

    def _keep_image(self, target: Path, trial: Trial, disk: Path) -> None:
        """The scratch disk as the trial left it, its untouched foreign stamps turned into zeros to save room."""
        length = filesystem(trial.plan.filesystem).size_mib << 20
        with self._lock:
            if self._left_bytes <= 0:
                target.with_suffix(".missing").write_text("the artefact budget was used up\n")
                return
        with open(disk, "rb") as source, gzip.open(target, "wb", compresslevel=1) as out:
            for offset in range(0, length, _CHUNK_BYTES):
                out.write(_without_foreign_stamps(bytearray(source.read(min(_CHUNK_BYTES, length - offset)))))
        with self._lock:
            self._left_bytes -= target.stat().st_size


def _tell(program: str, home: Path) -> None:
    """Run the user's program on a finding; what goes wrong with it is said, and stops nothing."""
    try:
        tools.run([program, str(home)], timeout_s=_ON_FINDING_TIMEOUT_S)
    except BlockStackError as error:
        echo(f"torture: {error}", err=True)


def tool_versions(trial: Trial) -> dict[str, str]:
    """What mkfs calls itself, and the options it and mount were given."""
    row = filesystem(trial.plan.filesystem)
    said = tools.run([row.mkfs[0], "-V"], timeout_s=10, ok=range(256))
    lines = (said.stdout + said.stderr).strip().splitlines()
    return {
        "mkfs": lines[0] if lines else "unknown",
        "mkfs_options": " ".join((*row.mkfs[1:], *trial.plan.mkfs_options)),
        "mount_options": ",".join((*row.mount_options, *trial.plan.mount_options)),
    }


def _without_foreign_stamps(chunk: bytearray) -> bytearray:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    zeros = bytes(page_bytes)
    for start in range(0, len(chunk), page_bytes):
        if stamp.is_foreign(chunk[start : start + stamp.SECTOR_BYTES]):
            chunk[start : start + page_bytes] = zeros[: len(chunk) - start]
    return chunk


def page_table(trial: Trial) -> str:
    """One line for each bad page: read, file, page, sectors, expected and found."""
    rows = [f"{'read':5} {'file':20} {'page':>8} {'sectors':>8}  expected -> found"]
    for finding in trial.verdict.findings:
        found = finding.found.splitlines()[0] if finding.found else ""
        for page in range(finding.first_page, finding.first_page + finding.pages):
            where = f"{finding.read:5} {finding.name:20} {page:8} {finding.sectors:#8x}"
            rows.append(f"{where}  {finding.expected} -> {found} ({finding.kind})")
    return "\n".join(rows) + "\n"


def first_bad_page(directory: Path, finding: Finding) -> str:
    """The first bad page of a finding in hex, as the read that found it saw it."""
    if not finding.pages:
        return f"the finding is about no page: {finding.found}\n"
    for seen in read_observations(directory / f"{finding.read}-{finding.file}.jsonl"):
        if isinstance(seen, Page) and seen.page == finding.first_page and seen.raw:
            return hex_dump(seen.raw) + "\n"
    return f"{finding.name} page {finding.first_page} is uniform: {finding.found}\n"


def hex_dump(content: bytes) -> str:
    """Offset, hex and text of the first sectors of `content`, as `hexdump -C` prints them."""
    lines = []
    for offset in range(0, min(len(content), _HEX_SECTORS * stamp.SECTOR_BYTES), _HEX_COLUMNS):
        row = content[offset : offset + _HEX_COLUMNS]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:08x}  {row.hex(' '):<{3 * _HEX_COLUMNS}} |{text}|")
    return "\n".join(lines)
