"""Real files, mappings and small filesystems for the workloads to work on."""

import errno
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from verify import descriptors
from workloads import libc
from workloads.mapped_file import MappedFile

PAGE = mmap.PAGESIZE


@pytest.fixture(autouse=True)
def _privileged(request: pytest.FixtureRequest) -> None:
    """Tests marked `root` run as root only."""
    if request.node.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that every user may enter, unlike tmp_path."""
    made = Path(tempfile.mkdtemp(prefix="torture-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def new_file(directory: Path) -> Callable[[int], Path]:
    """Makes a sparse file of so many pages that every user may write to."""

    def make(pages: int) -> Path:
        path = directory / f"file-{len(list(directory.iterdir()))}"
        path.touch()
        os.truncate(path, pages * PAGE)
        path.chmod(0o666)
        return path

    return make


@pytest.fixture
def opened() -> Iterator[Callable[..., MappedFile]]:
    """Opens files as workers do, not yet mapped, and closes them at the end."""
    with ExitStack() as held:

        def open_file(path: Path, pages: int, first_page: int = 0) -> MappedFile:
            place = MappedFile(path, file=1, first_page=first_page, pages=pages, page_bytes=PAGE)
            return held.enter_context(place)

        yield open_file


@pytest.fixture
def mapped(new_file: Callable[[int], Path], opened: Callable[..., MappedFile]) -> Callable[[int, int], MappedFile]:
    """Maps `pages` pages of a file that afterwards is cut to `kept` pages: the others fault."""

    def make(pages: int, kept: int) -> MappedFile:
        path = new_file(pages)
        place = opened(path, pages)
        place.map()
        os.truncate(path, kept * PAGE)
        return place

    return make


@pytest.fixture
def scratch() -> Iterator[Callable[[list[str], int], Path]]:
    """Mounts a new filesystem of so many MiB from a sparse image on a tmpfs; only for root.

    The tmpfs is the parent of the mount point and no bigger than the image: once a file there has filled it,
    writes to blocks that the filesystem has not used before fail.
    """
    if not Path("/dev/loop-control").exists():
        pytest.skip("needs loop devices")
    with ExitStack() as undo:

        def make(mkfs: list[str], size_mib: int) -> Path:
            if not shutil.which(mkfs[0]):
                pytest.skip(f"needs {mkfs[0]}")
            store = Path(tempfile.mkdtemp(prefix="torture-test-"))
            undo.callback(store.rmdir)
            run("mount", "-t", "tmpfs", "-o", f"size={size_mib}M,mode=755", "none", str(store))
            undo.callback(run, "umount", str(store))
            image, mount_point = store / "image", store / "mnt"
            image.touch()
            os.truncate(image, size_mib << 20)
            mount_point.mkdir()
            loop = run("losetup", "--find", "--show", str(image))
            undo.callback(run, "losetup", "-d", loop)
            run(*mkfs, loop)
            run("mount", loop, str(mount_point))
            undo.callback(run, "umount", str(mount_point))
            return mount_point

        yield make


def run(*command: str) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def cached() -> Callable[[MappedFile], libc.CacheStat]:
    """What the page cache holds of a file."""
    try:
        libc.cachestat(0)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            pytest.skip("needs cachestat(2), Linux 6.5")
    return lambda place: libc.cachestat(place.descriptor)


@pytest.fixture
def fill() -> Callable[[Path], None]:
    """Writes a file until nothing more fits."""

    def write(path: Path) -> None:
        with descriptors.opened(path, os.O_WRONLY | os.O_CREAT) as descriptor:
            for chunk in (1 << 20, PAGE):
                try:
                    while os.write(descriptor, bytes(chunk)):
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            os.fsync(descriptor)

    return write
