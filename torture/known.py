"""Known findings: told as such, with the reason and the day the excuse ends, and never silently dropped. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from torture.report.groups import Key


@dataclass(frozen=True, slots=True)
class Known:
    """A finding somebody knows: fields left empty match any value; `expires` (YYYY-MM-DD) is the first day it counts
    again.
    """

    reason: str
    expires: str
    filesystem: str = ""
    fault: str = ""
    layout: str = ""
    kind: str = ""

    def covers(self, key: Key, today: date) -> bool:
        """Whether `key` is this finding and the excuse still holds."""
        wanted = (
            (self.filesystem, key.filesystem),
            (self.fault, key.fault),
            (self.layout, key.layout),
            (self.kind, key.kind),
        )
        return today < date.fromisoformat(self.expires) and all(want in ("", have) for want, have in wanted)


def excuse(key: Key, known: Sequence[Known], today: date) -> Known | None:
    """The first entry that covers a finding."""
    return next((entry for entry in known if entry.covers(key, today)), None)
