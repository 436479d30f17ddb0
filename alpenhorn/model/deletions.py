"""Data of deletions: the copies that may be deleted, and the jobs and results."""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.policies import CopyPlace, Policy
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Reason, Why


class DeletionFact(NamedTuple):
    """A copy that may be deleted from a node of this host, with all that decides whether it is safe now.

    `others`: the other active archive nodes with a good copy that counts and is not released.  `released`:
    those whose good copy is released, but not claimed for deletion yet.  `other_ids`, `released_ids`: their
    ids.  `uncounted`: each further archive node with a good copy, and why that copy does not count ("v1, not
    seen since …").

    `source_of`: a pending request with this copy as its source; `wanted_by`: a pending request for the file
    into this node's group; 0 for none.  `pinned`: the pin that keeps the copy.  `claimed_by`: the other run
    that is deleting it.  `pulled_by`: the run that pulls the file from this copy now.  `batch`: the batch in
    which the copy is being put on tape.  `same_path`: the
    acquisition of another file at the same path.  All "" for none.

    `by_rule`: an autoclean rule releases the copy.  `space_b`: bytes on the medium, if known.  `twice`: the
    index has more than one row for this copy.  `restored`: why the index is older than the disks.
    `merely_found`: a different file is at the path, and no good copy was ever recorded there.  `fault`: why
    its rows are inconsistent; "" if they are not.  `since`: as in `CheckFile`.  `policies`: those that apply to
    the file; `places`: where each node is.
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
    since: float = 0.0
    policies: tuple[Policy, ...] = ()
    places: Mapping[int, CopyPlace] = {}
    pulled_by: str = ""
    batch: str = ""
    md5sum: str | None = None


class Evidence(NamedTuple):
    """The requirements for a deletion.

    `minimum`: number of other good archive copies that must remain.  `seen_within`: maximum seconds since a
    node was last found in order.  `trust_unseen`: also count copies on nodes that no run has ever seen.
    `absent`: nodes that did not answer in this run, and why.
    """

    minimum: int = 2
    seen_within: float = 7 * 86_400.0
    trust_unseen: bool = False
    absent: Mapping[int, Reason] = {}


class DeleteFile(NamedTuple):
    """One file of a deletion job.

    `has_file`: that before the claim, restored if the file cannot be removed.  `size_b`: the length that the
    file must have to be removed; None for a corrupt copy.  `by_rule`: not counted by the brake.

    `keepers`: ids of the nodes whose copies were counted; they are looked at before the removal.  `spare`:
    number of them that may fail while enough copies remain.  `length`: the length that the keepers' copies
    must have; None: `size_b`, if set.  `since`: as in `CheckFile`.  `for_room`: its deletion must free its space.
    `md5sum`: that of the file in the index, which keepers with a known sum must have.
    """

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    has_file: str
    by_rule: bool = False
    keepers: tuple[int, ...] = ()
    spare: int = 0
    length: int | None = None
    since: float = inf
    for_room: bool = False
    md5sum: str | None = None


class DeleteJob(NamedTuple):
    """A deletion job.

    `keepers`: nodes of this host that are keepers of any of the files; `remote`: those on other hosts, looked
    at over ssh or, if their copies are objects, with rclone.  `expires`: CLOCK_BOOTTIME in seconds after which the
    claims no longer allow removals; None: never.  `trash`: the new batch of the trash into which the files are moved;
    "" to delete them.
    """

    node: NodeFact
    files: tuple[DeleteFile, ...]
    keepers: tuple[NodeFact, ...] = ()
    expires: float | None = None
    remote: tuple[NodeFact, ...] = ()
    trash: str = ""


class DeleteResult(NamedTuple):
    """The result for one file.

    `freed_b`: bytes freed on the medium, or taken in the trash.  `wrong`: (node id, reason) of keepers that differ from
    the index.  `trashed`: the file is in the trash.  `past_trash`: why it was deleted although it should be there.
    """

    file: DeleteFile
    verdict: Verdict
    freed_b: int = 0
    error: Why = ""
    wrong: tuple[tuple[int, Reason], ...] = ()
    trashed: bool = False
    past_trash: Why = ""


class DeleteOutcome(NamedTuple):
    """The outcome of a deletion job.  Files without a result were not touched.

    `error`: why the node cannot be used any more.  `expired`: the claims expired before the job was finished.
    """

    results: tuple[DeleteResult, ...] = ()
    error: Why = ""
    expired: bool = False
