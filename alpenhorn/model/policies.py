"""Data of policies: the copies that files should have, and where."""

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.reasons import Why

DEFAULT = "default"
"""The name of the policy for files that no other policy matches."""


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
