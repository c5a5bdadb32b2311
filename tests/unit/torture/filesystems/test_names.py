"""No code outside `torture/filesystems/` knows a filesystem by its name: what one can do stands in its row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture.filesystems import FILESYSTEMS

ROOT = Path(__file__).parents[4]
TREES = ("torture", "workloads", "devicemapper", "verify")
OTHERS = {"bcachefs", "exfat", "gfs2", "nilfs2", "ntfs3", "ocfs2"}
NAMED = re.compile(rf"(?<![a-z0-9_])(?:{'|'.join(sorted({row.type for row in FILESYSTEMS.values()} | OTHERS))})\w*")
EXCEPTIONS = {
    ("torture/agent.py", "tmpfs"),  # hides the guest's own directories; nothing under test lies on it
    ("torture/export/fstests.py", "xfs_io"),  # the program that fstests uses on every filesystem
}


def spoken(source: str) -> Iterator[str]:
    """The strings of a module that are code: neither docstrings nor what stands below a field to explain it."""
    tree = ast.parse(source)
    free = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in free:
            yield node.value


def sources() -> list[Path]:
    found = [path.relative_to(ROOT) for tree in TREES for path in (ROOT / tree).rglob("*.py")]
    return sorted(path for path in found if path.parts[:2] != ("torture", "filesystems"))


def test_no_code_names_a_filesystem() -> None:
    assert len(sources()) > 150
    texts = ((str(path), text) for path in sources() for text in spoken((ROOT / path).read_text()))
    assert {(path, name) for path, text in texts for name in NAMED.findall(text)} == EXCEPTIONS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('if row.type == "xfs": pass', True),
        ('run(["mkfs.ext4", device])', True),
        ('reason = f"btrfs tells no {what}"', True),
        ('SIZES = {"f2fs:lfs": 96}', True),
        ('"""ext4 does this."""', False),
        ("size = 3  # xfs", False),
        ('kind = "devtmpfs"', False),
    ],
)
def test_a_name_in_code_is_seen(source: str, found: bool) -> None:
    assert any(map(NAMED.search, spoken(source))) is found
