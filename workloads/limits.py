"""How much a worker may lock: RLIMIT_MEMLOCK (getrlimit(2))."""

from __future__ import annotations

import resource

UNLIMITED = -1


def highest_memlock_bytes() -> int:
    """The highest limit that this process can give a worker, in bytes, or UNLIMITED.

    Found by trying: root may lack CAP_SYS_RESOURCE, and a namespace's own capability does not count.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, resource.RLIM_INFINITY))
    except ValueError:
        return hard
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return UNLIMITED


def set_memlock(limit_bytes: int) -> None:
    """Limit this process; UNLIMITED means as high as it may. Raises ValueError for more than that."""
    given = highest_memlock_bytes() if limit_bytes == UNLIMITED else limit_bytes
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (given, given))
