"""Data of searches for new files on a node."""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason


class Stamp(NamedTuple):
    """A directory when it was listed; its times change whenever its entries change.

    Both times are 0 if it must be listed again in any case.  `below`: the names of its subdirectories, joined
    by slashes.
    """

    path: str
    mtime_ns: int
    ctime_ns: int
    below: str = ""


class SurveyJob(NamedTuple):
    """Look which remembered directories have changed, from byte `offset` of the node's memory."""

    node: NodeFact
    search: int
    offset: int = 0


class RememberJob(NamedTuple):
    """Write the node's memory again: with this `heading`, without the directories in `forget`, and with those
    in `listed`.
    """

    node: NodeFact
    search: int
    heading: str
    forget: tuple[str, ...]
    listed: tuple[Stamp, ...]
    everything: bool = False  # forget all earlier directories


class SearchJob(NamedTuple):
    """List the directories and look at the files in `paths` (relative to the root; "" is the root).

    `search`: the number of the search.
    """

    node: NodeFact
    search: int
    paths: tuple[str, ...]


class SurveyOutcome(NamedTuple):
    """The outcome of a SurveyJob.

    `heading`: None if nothing is remembered.  `changed`: remembered directories to list again; `gone`: those
    that no longer exist.  `seen`: number of directories looked at.  `next`: the offset to continue from, None
    at the end.
    """

    heading: str | None = None
    changed: tuple[Stamp, ...] = ()
    gone: tuple[str, ...] = ()
    seen: int = 0
    next: int | None = None


class FoundFile(NamedTuple):
    """A regular file found by a search."""

    path: str
    size_b: int


class SearchOutcome(NamedTuple):
    """The outcome of a SearchJob.

    `stamps`: the directories listed.  `declined`: (path, reason) of paths that can never be imported.
    `failed`: (path, reason) of paths that cannot be looked at now.  `remaining`: paths left for another job
    because of the number of files found.  `others`: (path, directory, node) of paths in the root of another
    node: `directory` is that root, `node` the name in its marker.
    """

    files: tuple[FoundFile, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    declined: tuple[tuple[str, Reason], ...] = ()
    failed: tuple[tuple[str, Reason], ...] = ()
    remaining: tuple[str, ...] = ()
    others: tuple[tuple[str, str, str], ...] = ()
