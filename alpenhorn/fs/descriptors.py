"""How many files this process may hold open, and how that is shared out."""

from __future__ import annotations

import resource

ENOUGH = 4096  # not the hard limit, which may be a billion: some programs close every descriptor up to it
_OTHERS = 32  # for standard streams, logs, the index, pipes, locks, and what the libraries open


def raise_limit() -> None:
    """Raise the soft limit as far as is useful and allowed; it is inherited by all that is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share(most: int, parts: int = 2) -> int:
    """How many files may be held open at once for one purpose of `parts`: `most`, or fewer where the limit is low."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, (soft - _OTHERS) // parts))
