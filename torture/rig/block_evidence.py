"""Evidence of the block stack that is kept with each trial, in a few words: uevents, and what dm targets say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from devicemapper.status import Status

MOST_UEVENTS = 12
MOST_SEGMENTS = 6


def uevents(events: Iterable[str], devices: Collection[str]) -> str:
    """The events ("ACTION DEVPATH") of these block devices, by the kernel's names, and their filesystems, counted."""
    counted = Counter(filter(None, (_short(event, devices) for event in events)))
    words = [f"{number} x {what}" if number > 1 else what for what, number in counted.items()]
    return f"uevents: {_first(words, MOST_UEVENTS) or 'none'}"


def status(segments: Iterable[Status]) -> str:
    """Targets that have something to say, each with the sectors it is about."""
    words = [" ".join([_place(each), each.kind, *each.rest]) for each in _telling(segments)]
    return f"dmsetup status: {_first(words, MOST_SEGMENTS) or 'linear'}"


def _place(segment: Status) -> str:
    return f"{segment.start_sectors}+{segment.length_sectors}"


def _telling(segments: Iterable[Status]) -> Iterator[Status]:
    """All but linear segments, which have no status."""
    return (each for each in segments if each.kind != "linear")


def _short(event: str, devices: Collection[str]) -> str:
    """`change dm-0` or `add fs/ext4/dm-0`; "" for what is none of the trial's business."""
    action, _, path = event.partition(" ")
    place, _, name = path.rpartition("/")
    if name not in devices:
        return ""
    return f"{action} {path[1:]}" if place.startswith("/fs/") else f"{action} {name}"


def _first(words: Sequence[str], most: int) -> str:
    more = f", and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
