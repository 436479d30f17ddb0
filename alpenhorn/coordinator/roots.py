"""Inspection of roots on this host, in workers, so that a dead mount cannot block a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from alpenhorn.fs.placing import PRIVATE
from alpenhorn.model.nodes import MARKER, NodeFact, ProbeJob
from alpenhorn.model.tasks import Fate, Reporter, Task, TaskKind
from alpenhorn.workers.pool import Pool

Seen = TypeVar("Seen")

LOOK_SECONDS = 10.0
MOST_WORKERS = 8
MARKER_BYTES = 256
IDENTITY = f"{PRIVATE}/identity"


class SeenRoot(NamedTuple):
    """`real`: the path without symbolic links; `owner`: the name in the marker, "" without one; `identified`: the root
    has an identity file; `there`: it is a directory."""

    real: str
    owner: str = ""
    identified: bool = False
    there: bool = True


def look_at_roots(paths: Iterable[str], before_fork: Callable[[], None]) -> dict[str, SeenRoot]:
    """Inspect each path; those that do not answer in time are left out."""
    return in_workers(paths, look, before_fork)


def in_workers(
    paths: Iterable[str], look: Callable[[str], Seen], before_fork: Callable[[], None]
) -> dict[str, Seen]:
    """Call `look` with each path, in workers; paths that do not answer in time are left out."""
    found: dict[str, Seen] = {}
    wanted = list(dict.fromkeys(paths))

    def work(task: Task, report: Reporter) -> Seen:
        return look(task.job.node.root or "/")

    with Pool(min(len(wanted), MOST_WORKERS) or 1, work, before_fork=before_fork) as pool:
        for number, path in enumerate(wanted):
            pool.submit(Task(TaskKind.PROBE, number, ProbeJob(_at(path)), files=0, deadline=LOOK_SECONDS))
        while ended := pool.wait(None):
            for done in ended:
                if done.fate is Fate.DONE:
                    found[wanted[done.task.node_id]] = done.outcome
    return found


def _at(path: str) -> NodeFact:
    return NodeFact(0, "", path, 0, None, None, None, True, False, None, None, None, 0.0, None)


# --- in a worker ---------------------------------------------------------------------------------------


def look(path: str) -> SeenRoot:
    """Inspect one path.  To be called in a worker."""
    identified = os.path.lexists(os.path.join(path, IDENTITY))
    return SeenRoot(os.path.realpath(path), _owner(path), identified, os.path.isdir(path))


def _owner(path: str) -> str:
    try:
        fd = os.open(os.path.join(path, MARKER), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(fd, MARKER_BYTES).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)
