"""The limit on open files of this process, and shares of it."""

from __future__ import annotations

import resource

ENOUGH = 4096  # some programs close every descriptor up to the limit, which may be a billion
_OTHERS = 32  # standard streams, logs, the index, pipes, locks, and those opened by libraries


def raise_limit() -> None:
    """Raise the soft limit as far as useful and allowed; child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share(most: int, parts: int = 2) -> int:
    """Return the maximum number of open files for one of `parts` purposes: `most`, or fewer if the limit is low."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, (soft - _OTHERS) // parts))
