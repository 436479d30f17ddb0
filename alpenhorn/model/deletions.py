"""Copies that may be deleted, and the jobs that do it."""

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Reason, Why


class DeletionFact(NamedTuple):
    """One copy that may be deleted from a node of this host, with everything that decides whether it may go now.

    `others` names the other active archive nodes with a good copy of the file that nobody wants gone and that counts,
    `released` those whose good copy is wanted gone and not claimed for deletion yet.  `uncounted`: for each further
    good archive copy, its node and why it does not count ("v1, not seen since …").  `source_of` and `wanted_by` are
    pending requests: one that has this copy as its source, one for the file into this node's group; 0: none.
    `pinned` says by what it is kept, `claimed_by` by which other run it is being deleted, `same_path` of which
    acquisition another file lies at the same path; "" when it is not so.  `by_rule`: an autoclean edge releases it.
    `space_b`: what it takes on the medium, if known.  `other_ids` and `released_ids`: the nodes of `others` and
    `released`.  `twice`: the index has more than one row for this copy.  `restored`: why the index is older than the
    disks, "" when it is not.  `merely_found`: what lies there is not the file, and never was recorded as a good copy.
    `fault`: why its rows cannot be relied on, "" when they can.
    """

    copy_id: int
    file_id: int
    node_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    space_b: int | None
    has_file: str
    wants_file: str
    others: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    source_of: int = 0
    wanted_by: int = 0
    pinned: str = ""
    claimed_by: str = ""
    same_path: str = ""
    attempt: AttemptFact | None = None
    by_rule: bool = False
    uncounted: tuple[str, ...] = ()
    other_ids: tuple[int, ...] = ()
    released_ids: tuple[int, ...] = ()
    twice: bool = False
    restored: str = ""
    merely_found: bool = False
    fault: Why = ""


class Evidence(NamedTuple):
    """What a deletion may rely on.

    `minimum`: good archive copies that must be left; `seen_within`: seconds since a node was last found right;
    `trust_unseen`: count copies also on nodes that no run has ever seen.  `absent`: nodes that the run itself knows
    not to answer, and why.
    """

    minimum: int = 2
    seen_within: float = 7 * 86_400.0
    trust_unseen: bool = False
    absent: Mapping[int, Reason] = {}


class DeleteFile(NamedTuple):
    """`had`: what has_file was before the claim; it is put back when the file could not be removed.  `size_b`:
    the length that the file must have to be removed, None for a copy that is known to be corrupt.  `by_rule`: the
    brake does not count it.

    `keepers`: ids of the nodes whose copies were counted and are to be looked at before; `spare`: of how many of them
    the copy may be lacking or wrong, so that enough are left all the same.  `length`: what the keepers must have, None:
    `size_b`, if that is set."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    had: str
    by_rule: bool = False
    keepers: tuple[int, ...] = ()
    spare: int = 0
    length: int | None = None


class DeleteJob(NamedTuple):
    """`keepers`: this host's nodes that are named as keepers of any of the files.  `expires`: by CLOCK_BOOTTIME, in
    seconds, when the claims are too old for anything to be removed on their strength; None: never.  `remote`: the
    nodes on other hosts that are named as keepers, which are looked at over ssh."""

    node: NodeFact
    files: tuple[DeleteFile, ...]
    keepers: tuple[NodeFact, ...] = ()
    expires: float | None = None
    remote: tuple[NodeFact, ...] = ()


class DeleteResult(NamedTuple):
    """`freed_b`: the space that it took on the medium.  `wrong`: (node id, why) of keepers that are not what the
    index says."""

    file: DeleteFile
    verdict: Verdict
    freed_b: int = 0
    error: Why = ""
    wrong: tuple[tuple[int, Reason], ...] = ()


class DeleteOutcome(NamedTuple):
    """Files without a result were not touched; `error`: why the node can no longer be worked on; `expired`: the claims
    became too old before all was done."""

    results: tuple[DeleteResult, ...] = ()
    error: Why = ""
    expired: bool = False
