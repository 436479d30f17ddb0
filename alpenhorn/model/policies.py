"""Data of policies: the copies that files should have, and where."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why

DEFAULT = "default"
"""The name of the policy for files that no other policy matches."""
MOST_AGE = 100 * 365 * 86_400
"""Seconds; an older date may not exist."""


class Policy(NamedTuple):
    """A policy.

    `copies`: number of good archive copies; `sites`: number of sites that they are at, at least.  `min_age`: seconds
    since a file was registered before copies of it are requested.  `acqs`: patterns of names of acquisitions; none for
    all.  `groups`: ids of the groups whose copies count; none for all.  `required`: ids of groups that must have a
    copy.  `group_names`: the names of all these groups.  `fault`: why its row is inconsistent; "" if it is not.
    """

    id: int
    name: str
    copies: int
    sites: int
    min_age: int
    priority: int
    acqs: tuple[str, ...] = ()
    groups: frozenset[int] = frozenset()
    required: tuple[int, ...] = ()
    group_names: Mapping[int, str] = {}
    fault: Why = ""


class CopyPlace(NamedTuple):
    """Where the copies on a node are.  `site`: None if that is not known."""

    group_id: int
    site: str | None


class Lack(NamedTuple):
    """What a file lacks by one policy.

    `copies`, `sites`: numbers of further copies, and of further sites; `groups`: ids of required groups without a copy.
    """

    copies: int = 0
    sites: int = 0
    groups: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.copies or self.sites or self.groups)


class PolicyCopy(NamedTuple):
    """A row of a copy.  `leaving`: a run has claimed it for deletion."""

    node_id: int
    has_file: str
    wants_file: str
    ready: bool
    leaving: bool = False


class PolicyFile(NamedTuple):
    """A file with its copies, and the groups into which requests for it are pending.

    `verifiable`: its length and MD5 sum are known; `age`: seconds since it was registered.
    """

    file_id: int
    acq: str
    name: str
    size_b: int
    verifiable: bool
    age: float
    copies: tuple[PolicyCopy, ...] = ()
    coming: tuple[int, ...] = ()


class Destinations(NamedTuple):
    """Where copies may be requested.

    `nodes`: all nodes by id; `places`: where each is.  `receivers`: ids of the nodes of each group that can have an
    archive copy by a request, the one that is to receive it first; groups with other active nodes are left out, since
    these could receive it.  `open`: ids of the groups for which requests may be created now.  `fits`: tells whether a
    file of a length fits into a group alone, and `free_b` how many bytes do beside what is requested already.
    `host`: prefer sources on it; None: any.
    """

    nodes: Mapping[int, NodeFact]
    places: Mapping[int, CopyPlace]
    receivers: Mapping[int, tuple[int, ...]]
    open: frozenset[int]
    fits: Callable[[int, int], bool]
    free_b: Callable[[int], int]
    host: str | None


class PolicyRequest(NamedTuple):
    """A request that a policy wants: copy the file from the node into the group."""

    file_id: int
    node_from: int
    group_to: int
    policy: str
    size_b: int
