"""What a row of a filesystem says: how to make, mount, mend and check it on a given device, and what it can do.

What it can do is an allow-list: nobody relies on what a row does not claim. What needs a feature that is not claimed is
`notrun`, with the words of `FEATURES` as the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from torture.filesystems.mounted import Mounted, Reading
from torture.filesystems.words import Words

FEATURES: Mapping[str, str] = {
    # fallocate(2) leaves unwritten extents.
    "unwritten": "has no unwritten extents",
    # fallocate(2) beyond the end of a file, with FALLOC_FL_KEEP_SIZE.
    "keep-size": "has no fallocate beyond the end of a file",
    # FALLOC_FL_PUNCH_HOLE.
    "punch": "has no punch",
    # FALLOC_FL_ZERO_RANGE.
    "zero-range": "has no zero-range",
    # FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE.
    "collapse": "has no collapse",
    # FICLONE.
    "reflink": "has no reflink",
    # Subvolumes, and snapshots of them.
    "snapshot": "has no snapshot",
    # O_DIRECT.
    "direct": "has no O_DIRECT",
    # FIFREEZE.
    "freeze": "has no freeze",
    # The shutdown ioctl.
    "shutdown": "has no shutdown ioctl",
    # page_mkwrite allocates or reserves, so a full filesystem refuses at the store.
    "reserves": "accepts stores without reserving space",
    # Metadata is consistent when it is mounted after a power cut, so complaints of fsck then are findings.
    "journal": "is not known to be consistent after a power cut",
    # FIEMAP tells where on the device a file lies.
    "extents": "does not tell where on the device its extents are",
    # What is stored goes to the sectors that the file has.
    "in-place": "writes what is stored to other sectors than the file has",
    # The sectors of a file hold its bytes and nothing else guards them: no checksum, compression or encryption.
    "raw-data": "is not known to read whatever lies on the sectors of a file",
    # Metadata that the disk refuses is given up, so that nobody waits for it for ever.
    "gives-up": "may try for ever to write metadata that the disk refuses",
}
"""Every feature that a row may claim, and what is said of one that does not."""

PROMISES: Mapping[str, str] = {
    "store promise": "it is not there any more after an unmount",
    "sync promise": "after a crash nothing need be there",
    "order promise": "after a crash, what no sync vouches for may show stale blocks",
}
"""What every filesystem promises unless something takes it away, and what that means."""


def _says_nothing(_mounted: Mounted) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Check:
    """A read-only consistency check."""

    argv: tuple[str, ...]
    """Completed with the device."""
    clean: tuple[int, ...] = (0,)
    """Exit codes of a filesystem without faults."""
    complaint: str | None = None
    """Text that marks an inconsistency in tools whose exit code does not tell."""

    def is_clean(self, exit_code: int, output: str) -> bool:
        """Whether the tool ended with `exit_code` and `output` over a filesystem without faults."""
        return exit_code in self.clean and not (self.complaint and self.complaint in output)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What runs after a crash and before the mount where the kernel does not recover by itself."""

    argv: tuple[str, ...]
    """Completed with the device."""
    recovered: tuple[int, ...] = (0,)
    """Good exit codes."""
    failure: str | None = None
    """Text that says the recovery itself failed while the tool went on: then nothing can be concluded about the kernel, and
    the trial is `notrun`."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What it takes to have the usage of one kind of owner limited."""

    mkfs: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    module: str = ""
    """What the kernel may have to load for it."""
    kernel_file: str = ""
    """A file that is there if the kernel keeps such quotas."""
    kernel_symbol: str = ""
    """A function that is in /proc/kallsyms if the kernel keeps such quotas."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Set the limit where quotactl(2) does not; `{mount_point}` and `{bytes}` stand for these."""


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One row: a filesystem, or a named configuration of one."""

    name: str
    mkfs: tuple[str, ...]
    """Completed with the device."""
    check: Check
    package: str
    """The Debian package with all its programs."""
    size_mib: int
    """The size of the scratch device in MiB: near the smallest that mkfs takes, so that filling and checking are quick."""
    usual: int = 0
    """Its place among the filesystems that are tried when none is named; 0: only if it is named."""
    features: frozenset[str] = frozenset()
    """Those of `FEATURES` that it claims."""
    quotas: Mapping[str, Quota] = field(default_factory=dict, hash=False)
    """By the kind of owner: user, project, or subvolume, which knows no users."""
    few_inodes: tuple[str, ...] | None = None
    """Makes mkfs allow only a few inodes, so that they run out before data space; None: that cannot be had."""
    xattr_bytes: int = 0
    """An extended attribute of so many bytes takes metadata space and no data space; 0: none does."""
    signatures: frozenset[str] = frozenset()
    """Types that blkid(8) may see on its device; none: its own."""
    kernel_type: str = ""
    """The type that mount(2) takes, and the module of the kernel; "": its name."""
    mount_options: tuple[str, ...] = ()
    words: Words = field(default_factory=Words)
    """The words for mkfs and mount that may come from elsewhere, a plan for instance."""
    copy_options: tuple[str, ...] = ()
    """Further mount options for a copy whose original may be mounted too."""
    block_bytes: int = 4096
    recovery: Recovery | None = None
    unrecoverable: str = ""
    """Why what a crash leaves cannot be judged, "" if it can."""
    volatile: bool = False
    """It lives in memory, has no device, and is read again without an unmount between."""
    excused_pin_errnos: frozenset[int] = frozenset()
    """When it is full, a pin may fail with one of these."""
    reading: Reading = field(default=_says_nothing, compare=False)
    """What can be read of one that is mounted, besides its mount options."""
    takes: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    """By what `torture.filesystems.mounted.look` may say of one: the features and promises that it then has not."""
    possible: frozenset[str] = frozenset()
    """All features that one can have if it is made and mounted with options; none: those of the row."""
    unjournalled: Recovery | None = None
    """The recovery of one that turns out to have no journal."""
    lost: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What this one has not, promises included, and why: as it was found mounted."""

    def __post_init__(self) -> None:
        taken = frozenset[str]().union(*self.takes.values()) - PROMISES.keys()
        if unknown := (self.features | self.possible | taken) - FEATURES.keys():
            raise ValueError(f"{self.name} claims what is no feature: {', '.join(sorted(unknown))}")

    @property
    def type(self) -> str:
        """The type that mount(2) takes."""
        return self.kernel_type or self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """All that it takes, from `package`."""
        lines = (self.mkfs, self.check.argv, *([self.recovery.argv] if self.recovery else []))
        return tuple(dict.fromkeys(line[0] for line in lines))

    def has(self, feature: str) -> bool:
        """Whether the row claims `feature`; "" is none and always there."""
        return not feature or feature in self.features

    def lacking(self, *features: str) -> str:
        """Why what needs these cannot be had: the first that is not claimed, in words; "" if all are."""
        missing = next((each for each in features if not self.has(each)), None)
        if missing is None:
            return ""
        return f"{self.name} {FEATURES[missing]}" + (f" ({self.lost[missing]})" if missing in self.lost else "")

    def void(self, *promises: str) -> str:
        """Why the first of these promises that is taken away does not hold, "" if all hold."""
        return next((f"the {each} is void: {self.lost[each]}" for each in promises if each in self.lost), "")

    def as_found(self, found: Iterable[str]) -> Filesystem:
        """This row as what was read of one that is mounted corrects it; nothing was read of none."""
        found = tuple(found)
        lost = {each: what for what in found for each in self.takes.get(what, ())}
        features = (self.possible or self.features) if found else self.features
        return replace(self._having(features - lost.keys()), lost=lost)

    def _having(self, features: frozenset[str]) -> Filesystem:
        recovery = self.recovery if "journal" in features else self.unjournalled or self.recovery
        return replace(self, features=features, recovery=recovery)

    def variant(
        self,
        name: str,
        *,
        mkfs: tuple[str, ...] = (),
        mount: tuple[str, ...] = (),
        block_bytes: int | None = None,
        without: frozenset[str] = frozenset(),
    ) -> Filesystem:
        """A named configuration of this row, `ext4:1k` for instance, as users of fstests know them: further options for
        mkfs (a later one wins) and mount, and the features that are lost by it."""
        return replace(
            self._having(self.features - without),
            name=f"{self.name}:{name}",
            mkfs=(*self.mkfs, *mkfs),
            mount_options=(*self.mount_options, *mount),
            usual=0,
            kernel_type=self.type,
            block_bytes=block_bytes or self.block_bytes,
            possible=self.possible or self.features,
        )


RANGES = frozenset({"keep-size", "punch", "zero-range"})
"""Claimed by those that know all modes of fallocate(2) that leave a file its length."""
ON_DISK = frozenset({"direct", "freeze"})
"""Claimed by all that have a device."""
UNFLUSHED = frozenset({"journal", "sync promise", "order promise"})
"""Taken by all that keeps a filesystem from flushing the disk's cache: the disk may have anything of what was written."""
READ_ONLY: Mapping[str, frozenset[str]] = {"mounted with ro": frozenset({"store promise"})}
"""Taken from all."""
