"""Searches of a node for new files, and the jobs that do them."""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason


class Stamp(NamedTuple):
    """A directory as it was when it was listed: any change of its entries changes its times.  Both are 0 when
    it is to be listed again whatever they are.  `below`: the names of its subdirectories, joined by slashes."""

    path: str
    mtime_ns: int
    ctime_ns: int
    below: str = ""


class SurveyJob(NamedTuple):
    """Look at the remembered directories from byte `offset` of the node's memory on: which have changed?"""

    node: NodeFact
    search: int
    offset: int = 0


class RememberJob(NamedTuple):
    """Write the node's memory anew: `heading` as it is to stand there, the directories `forget` taken out,
    `listed` put in."""

    node: NodeFact
    search: int
    heading: str
    forget: tuple[str, ...]
    listed: tuple[Stamp, ...]
    everything: bool = False  # forget all that was there


class SearchJob(NamedTuple):
    """Look at `paths` (relative to the root; "" is the root): list directories, look at files.  `search`: the
    number of the search that the job is part of."""

    node: NodeFact
    search: int
    paths: tuple[str, ...]


class SurveyOutcome(NamedTuple):
    """`heading` None: nothing is remembered.  `changed`: directories to be listed, as they are remembered;
    `gone`: those not there any more; `seen`: how many were looked at; `next`: the offset to go on from, None at
    the end."""

    heading: str | None = None
    changed: tuple[Stamp, ...] = ()
    gone: tuple[str, ...] = ()
    seen: int = 0
    next: int | None = None


class Found(NamedTuple):
    """A regular file that a search came upon."""

    path: str
    size_b: int


class SearchOutcome(NamedTuple):
    """`stamps`: the directories that were listed; `declined`: (path, why) of paths that can never be
    imported; `failed`: (path, why) of those that could not be looked at, and may be another time; `rest`: paths
    of the job that were not come to, since so many files had been found.  `others`: (path, directory, node) of paths
    that lie in the root of another node, which is `directory`, or are it; `node`: the name that it is marked with."""

    files: tuple[Found, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    declined: tuple[tuple[str, Reason], ...] = ()
    failed: tuple[tuple[str, Reason], ...] = ()
    rest: tuple[str, ...] = ()
    others: tuple[tuple[str, str, str], ...] = ()
