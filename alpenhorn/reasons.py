"""Reasons why something was done, was not done, failed, or needs attention, each with a code for scripts.

A reason is a string with a code.  It can be used wherever text is used: in the pipes of workers, in the index and in
JSON, where `why` is the text and `code` the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from alpenhorn import outside

if TYPE_CHECKING:
    from enum import StrEnum as _Codes
else:

    class _Kind(type):
        """Creates members on demand, since an enum of this size takes 2 ms at each start."""

        def __new__(kind, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
            waiting = {key: value for key, value in space.items() if type(value) is tuple}
            made = super().__new__(kind, name, bases, {k: v for k, v in space.items() if k not in waiting})
            made._waiting = waiting
            return made

        def __getattr__(cls, name: str) -> Code:
            try:
                code, text = cls._waiting[name]
            except KeyError:
                raise AttributeError(f"{cls.__name__} has no member {name}") from None
            member = str.__new__(cls, code)
            member.name, member.value, member.text = name, code, text
            type.__setattr__(cls, name, member)
            return member

        def __iter__(cls) -> Iterator[Code]:
            return (getattr(cls, name) for name in cls._waiting)

        def __len__(cls) -> int:
            return len(cls._waiting)

        def __call__(cls, code: str) -> Code:
            """Return the member with that code; raises ValueError if there is none."""
            name = code.upper().replace("-", "_")
            if name not in cls._waiting or code != cls._waiting[name][0]:
                raise ValueError(f"{code!r} is not a code")
            return getattr(cls, name)

    class _Codes(str, metaclass=_Kind):
        def __reduce__(self) -> tuple[Any, ...]:
            return type(self), (str(self),)


class Code(_Codes):
    """The codes of reasons.

    The value is the code for scripts and never changes; `text` is for people and may change; the string below a member
    is its meaning in `alpenhorn/docs/reasons.md`.  The name is the value in capitals.  Calling a member with the values
    of its fields returns the reason: `Code.SOURCE_INACTIVE(node="a")`.  In commands, `{node!q}` is the value as a word
    of a shell.
    """

    text: str

    def __call__(self, **details: object) -> Reason:
        """Return the reason with these values; raises KeyError if a field of the text has none."""
        subjects = [str(value) for name, value in details.items() if name in SUBJECTS]
        form = self.text
        if QUOTED in form:
            form = form.replace(QUOTED, "_quoted}")
            details |= {f"{name}_quoted": quoted(str(value)) for name, value in details.items()}
        return Reason(form.format(**details), self, ", ".join(subjects))

    # --- text from other programs

    UNKNOWN = "unknown", "{detail}"
    """Text of another program, an extension, or an earlier version of this program."""

    # --- files in the index

    FILE_ROW_GONE = "file-row-gone", "the index has no row for the file"
    """A request or copy refers to a file that is not in the index."""
    FILE_LENGTH_MISSING = (
        "file-length-missing",
        "the index has no length for the file, so a copy cannot be verified; to compute it: alpenhorn file"
        " modify FILE --from-copy NODE",
    )
    """Only files whose copies can be verified are pulled."""
    FILE_MD5_MISSING = (
        "file-md5-missing",
        "the index has no MD5 sum for the file, so a copy cannot be verified; to compute it: alpenhorn file"
        " modify FILE --from-copy NODE",
    )
    """Only files whose copies can be verified are pulled."""
    FILE_LENGTH_OR_MD5_MISSING = (
        "file-length-or-md5-missing",
        "the index has no length or no MD5 sum for the file; to compute them: alpenhorn file modify FILE --from-copy"
        " NODE",
    )
    """A copy cannot be checked without both."""
    FILE_LENGTH_OR_MD5_INVALID = (
        "file-length-or-md5-invalid",
        "the index has an invalid length or MD5 sum for the file",
    )
    """The file's row holds values that no file can have."""
    PATH_UNSAFE = "path-unsafe", "{detail}"
    """An extension rejected a path."""
    PATH_IS_OURS = "path-is-ours", "{path!r} is reserved for alpenhorn's own files"
    """Names that begin with .alpenhorn, and the marker, are reserved."""
    PATH_NOT_BELOW_ROOT = (
        "path-not-below-root",
        "{path!r} is not a path below a root: an element is empty, '.' or '..', or contains a NUL",
    )
    """Such a path may lead outside the root."""
    PATH_NOT_ENCODABLE = "path-not-encodable", "{path!r} cannot be encoded as a file name"
    """The name has characters that the file name encoding of this host lacks."""
    PATH_IS_DIRECTORY = (
        "path-is-directory",
        "{path!r} is a directory and cannot be replaced by a file ({why}); move it away",
    )
    """A directory that is not empty is at the path of the file."""
    PATH_UNSAFE_IN_INDEX = "path-unsafe-in-index", "{detail}; correct the row in the index"
    """The index holds a name that cannot be the path of a file below a root."""
    PATH_ELEMENT_TOO_LONG = (
        "path-element-too-long",
        "{path} has an element longer than {most} bytes",
    )
    """File systems cannot store such a name."""
    SAME_PATH_AS_OTHER_FILE = (
        "same-path-as-other-file",
        "a file of acquisition {acq} is at the same path on {node} and would be overwritten; cancel the"
        " request, or remove one of the two files from the index",
    )
    """Two files in the index have the same path, and one of them is on the node."""
    SAME_PATH_ARRIVING = (
        "same-path-arriving",
        "a file of another acquisition is being pulled to the same path",
    )
    """Two files in the index have the same path, and this run pulls the other one."""

    # --- requests

    WAITS_AFTER_FAILURE = "waits-after-failure", "waiting to retry after a failed attempt"
    """The next attempt is not due yet; `request retry` ends the wait."""
    PULLED_BY_OTHER_RUN = "pulled-by-other-run", "being pulled by {run}"
    """Another run holds the claim on the file."""
    SOURCE_NOT_IN_INDEX = "source-not-in-index", "the source node is not in the index"
    """The request names a node that has been removed."""
    SOURCE_INACTIVE = "source-inactive", "source node {node} is not active"
    """Nothing is pulled from a node that is not active."""
    SOURCE_ABSENT = "source-absent", "source node {node}: {why}"
    """The source is on this host and cannot be used."""
    SOURCE_UNUSABLE = "source-unusable", "source node {node}: {why}"
    """The settings of the source node are wrong, or its storage class cannot be loaded."""
    SOURCE_UNREACHABLE = "source-unreachable", "source node {node} cannot be reached from this host: {why}"
    """The index lacks what other hosts need to reach the source."""
    SOURCE_UNMOUNTED = (
        "source-unmounted",
        "node {node} is not mounted on host {host}, or other storage is mounted there: its marker {what}",
    )
    """The host of the source answers, but the node's storage is not mounted."""
    SOURCE_NOT_READY = "source-not-ready", "not ready to be read on {node} yet; a run on {host} prepares it"
    """The source copy is on tape."""
    SOURCE_COPY_SUSPECT = "source-copy-suspect", "the copy on {node} must be checked first"
    """The request waits for the check of its source."""
    SOURCE_COPY_CORRUPT = "source-copy-corrupt", "the copy on {node} is corrupt"
    """The request is cancelled, unless another node has a good copy."""
    SOURCE_COPY_ABSENT = "source-copy-absent", "{node} does not have the file"
    """The request is cancelled, unless another node has a good copy."""
    OTHER_SOURCE = "other-source", "{method} from another node, not from {requested}: {why}"
    """The requested source cannot be used now; another good copy takes its place."""
    OTHER_SOURCE_WAITS = (
        "other-source-waits",
        "a pull from {node} failed, and the next attempt is not due yet",
    )
    """Another good copy cannot take the place of the requested source yet."""
    NO_OTHER_SOURCE = "no-other-source", "{obstacle}, and no other good copy can be read now: {why}"
    """The request waits until another good copy can be read; it is not cancelled while there is one."""
    GROUP_HAS_FILE = "group-has-file", "the group already has the file"
    """The request is cancelled, since there is nothing to do."""
    GROUP_COPY_SUSPECT = "group-copy-suspect", "the group's copy must be checked first"
    """The request waits for the check of the copy in its group."""
    GROUP_WITHOUT_NODE = "group-without-node", "the group has no usable node on this host"
    """The request is for another host, or the group's node was left out."""
    GROUP_NODE_NOT_INITIALISED = (
        "group-node-not-initialised",
        "node {node} is not initialised yet; the next run on this host does that first, and then pulls: alpenhorn sync",
    )
    """No run has worked on the node of the request's group; a request to initialise it is pending."""
    GROUP_WITHOUT_DISK = "group-without-disk", "group {group} has no disk on this host"
    """No medium of a Transport group is on this host."""
    GROUP_TAKES_OWN_HOST_ONLY = (
        "group-takes-own-host-only",
        "group {group} accepts files from nodes on its own host only, and {node} is on {host}",
    )
    """A Transport group is filled on the host of the source."""
    NO_NODE_TAKES_FILE = "no-node-takes-file", "{detail}"
    """No node of the group can take the file; the text gives the obstacle on each."""
    OTHER_REQUEST_BRINGS_FILE = "other-request-brings-file", "another request pulls the same file"
    """Two requests want the same file in the same group."""
    DESTINATION_ABSENT = "destination-absent", "node {node}: {why}"
    """The destination cannot be used."""
    DESTINATION_TAKES_NO_MORE = "destination-takes-no-more", "{node} could not be written to in this run"
    """An earlier pull of this run could not write to the destination."""
    DESTINATION_FULL = "destination-full", "no room on {node}: too little free space"
    """The file does not fit into the free space."""
    DESTINATION_ABOVE_MAX_TOTAL = (
        "destination-above-max-total",
        "no room on {node}: its max_total would be exceeded",
    )
    """The file does not fit into the node's max_total."""
    DESTINATION_BELOW_MIN_AVAIL = (
        "destination-below-min-avail",
        "no room on {node}: its free space would fall below min_avail",
    )
    """The file does not fit above the node's min_avail."""
    DESTINATION_SPACE_UNKNOWN = "destination-space-unknown", "no room on {node}: its free space is unknown"
    """Nothing is pulled into unknown space."""
    FOREIGN_FILE_AT_PATH = (
        "foreign-file-at-path",
        "something else is at its path on {node}, was never recorded as a good copy of the file, and is not"
        " overwritten; move or delete it, then: {then}",
    )
    """A file that the index does not know occupies the path and may belong to someone."""
    CHANGED_FILE_AT_PATH = (
        "changed-file-at-path",
        "the file on {node} was changed after it was registered, and is not overwritten; to bring back the old contents"
        " and keep the new ones under another name: alpenhorn repair --node {node!q} --replace --file FILE; to accept"
        " the new ones: alpenhorn file modify FILE --from-copy {node!q}",
    )
    """Only the file's owner knows which contents are right."""
    COLLIDING_FILE_AT_PATH = (
        "colliding-file-at-path",
        "the file on {node} has the MD5 sum in the index, but another SHA-256 sum, and is not overwritten; find out"
        " which contents are right; to bring back those in the index and keep these under another name: alpenhorn"
        " repair --node {node!q} --replace --file FILE; to accept these: alpenhorn file modify FILE --from-copy"
        " {node!q}",
    )
    """One of two files with the same MD5 sum was made on purpose; the index may have the SHA-256 sum of that one."""

    # --- changes to copies

    CHANGED_SINCE_CHECK = "changed-since-check", "it was changed after it had been found corrupt"
    """A pull found that the owner of the file has written it, and did not replace it; a check reads it again."""
    CHANGED_FILE_KEPT = "changed-file-kept", "the changed file that it replaced is kept as {path}"
    """`repair --replace` was asked for; nothing that the owner of a file wrote is deleted."""
    PULLED = "pulled", "request {request}: {method} from {node}"
    """A copy was pulled for a request."""
    PULLED_FROM_OTHER = (
        "pulled-from-other",
        "request {request}: {method} from {node}, not from {requested}: {why}",
    )
    """A copy was pulled for a request, from another source than the requested one."""
    FILE_REGISTERED = "file-registered", "registered"
    """A new file was imported."""
    FILE_MOVED_AND_REGISTERED = (
        "file-moved-and-registered",
        "moved from the top of the root into acquisition {acq}, and registered",
    )
    """The node has the setting `--top-acq`."""
    FILE_KNOWN_AND_SAME = "file-known-and-same", "same as in the index"
    """A file that the index knew was found on another node."""
    COPY_VERIFIED = "copy-verified", "read in full, MD5 sum matches"
    """A check found the copy good."""
    AUTOSYNC = "autosync", "autosync from {node} into {group}"
    """An autosync rule requested the copy."""
    POLICY_REQUEST = "policy-request", "policy {name} wants a copy in {group}"
    """A policy requested the copy."""
    AUTOCLEAN = "autoclean", "autoclean, {group} has it"
    """An autoclean rule released the copy."""
    FOUND_AT_ITS_PATH = "found-at-its-path", "found at its path, not in the index"
    """A pull found something at the file's path; a check determines what it is."""
    FILE_EDITED_WHILE_PULLED = (
        "file-edited-while-pulled",
        "its length or MD5 sum was changed in the index during the pull",
    )
    """The new copy must be checked against the new values."""
    SOURCE_DOUBTED_WHILE_LINKED = (
        "source-doubted-while-linked",
        "it was linked without reading it, and its source was found wrong meanwhile",
    )
    """The copy is read before it counts, since a check or another pull has read the source and found other data."""
    PULLED_UNDER_LOST_CLAIM = (
        "pulled-under-lost-claim",
        "pulled under a claim that had expired and no longer belonged to this run",
    )
    """The run was cut off from the index for too long; the new copy must be checked."""
    RELEASED_COPY_GONE = "released-copy-gone", "released, and no longer on the node"
    """Someone else deleted a copy that was to be deleted."""
    FOUND_MISSING_IN_DOUBT = (
        "found-missing-in-doubt",
        "the node is complete again; the copy may have been recorded as missing by mistake",
    )
    """The copy is checked again."""
    COPY_READY = "copy-ready", "it is on disk and can be read"
    """A copy was restored from tape."""
    COPY_ON_TAPE_ONLY = "copy-on-tape-only", "it is on tape only"
    """The copy is no longer on disk."""
    LEFT_TO_TAPE = "left-to-tape", "its space on disk was needed, or it was restored only for a check"
    """A run freed the disk space of a copy that is on tape."""
    NEITHER_ON_DISK_NOR_TAPE = "neither-on-disk-nor-tape", "it is neither on disk nor on tape"
    """A copy that the index records as good was not found."""
    PUT_ON_TAPE = "put-on-tape", "the storage verified its MD5 sum on tape, in batch {batch}"
    """A copy counts for deletions from then on, if its storage class asks for that."""
    LEFT_DISK_BEFORE_CHECK = "left-disk-before-check", "it left the disk again before it was checked"
    """It is restored from tape again."""

    REQUEST_CANCELLED = "request-cancelled", "a command cancelled the request"
    """A policy that needs the copy has it requested again by the next run."""
    RETIREMENT_REQUEST = "retirement-request", "{node} is retired, and too few good copies are elsewhere"
    """A run or `node retire` requested the file for another group."""
    RETIREMENT_RELEASE = "retirement-release", "{node} is retired, and enough good copies are elsewhere"
    """A run or `node retire --release` released the copy."""
    DECLARED_LOST = "declared-lost", "{node} was declared lost"
    """`node retire --lost` or `node replace` recorded the copy as missing."""

    # --- deletions

    COPY_STATE_CHANGED = "copy-state-changed", "its state was changed in the meantime"
    """The next run decides again."""
    COPY_RELEASED = "copy-released", "released"
    """The copy is deleted because a user or an autoclean rule released it."""
    COPY_REMOVED_FOR_ROOM = "copy-removed-for-room", "deleted to make room"
    """The copy is removable, and its node has less free space than its min_avail."""
    COPY_GONE = "copy-gone", "it no longer exists"
    """There is nothing to delete."""
    COPY_WANTED = "copy-wanted", "it is wanted"
    """The copy is neither released nor removable."""
    ARCHIVE_COPY_NOT_RELEASED = (
        "archive-copy-not-released",
        "only released copies are deleted from an archive node; to release it: alpenhorn file clean FILE"
        " --node NODE --now --archive-ok",
    )
    """A removable copy is never deleted from an archive node."""
    COPY_NOT_GOOD = "copy-not-good", "only good copies are deleted to make room"
    """A suspect or corrupt copy is checked or repaired first."""
    DELETION_WITHOUT_LENGTH = (
        "deletion-without-length",
        "the index has no length for the file, so it is not certain that this is the file to delete; to"
        " compute it: alpenhorn file modify FILE --from-copy NODE",
    )
    """A copy is deleted only if its length is the one in the index."""
    DELETION_OF_FOREIGN_FILE = (
        "deletion-of-foreign-file",
        "the file at its path differs from the index and was never a good copy, so it may belong to someone else, or"
        " its owner changed it; inspect it, and delete or move it by hand, or, if it is shown as Changed, accept it:"
        " alpenhorn file modify FILE --from-copy NODE",
    )
    """Only what was once a good copy is deleted, and nothing that the owner of a file changed."""
    DELETION_OF_SHARED_PATH = (
        "deletion-of-shared-path",
        "a file of acquisition {acq} is at the same path and would be deleted with it; remove one of the"
        " two rows from the index",
    )
    """Two files in the index have the same path."""
    COPY_ROWS_DOUBLED = (
        "copy-rows-doubled",
        "the index has more than one row for this copy, and a deletion would leave the others behind;"
        " remove all but one of them from the index",
    )
    """The index lists the same file more than once on one node."""
    INDEX_OLDER_THAN_DISKS = (
        "index-older-than-disks",
        "the index is older than the disks ({restored}); nothing is deleted until they have been compared;"
        " run: alpenhorn reconcile",
    )
    """The index was restored from a backup, or lost commits."""
    DELETED_BY_OTHER_RUN = "deleted-by-other-run", "it is being deleted by {run}"
    """Another run holds the claim on the copy."""
    COPY_PINNED = "copy-pinned", "{pinned}; to unpin it: alpenhorn file unpin FILE"
    """A user pinned the file."""
    COPY_IS_SOURCE_OF_REQUEST = (
        "copy-is-source-of-request",
        "a pending request will pull from it; see: alpenhorn request list",
    )
    """The copy is deleted once the request is done or cancelled."""
    COPY_BEING_PULLED = "copy-being-pulled", "it is being pulled from by {run}"
    """The copy is deleted once the pull has ended."""
    COPY_GOING_TO_TAPE = "copy-going-to-tape", "it is being put on tape, in batch {batch}"
    """The copy is deleted once the batch has ended, so that nothing of it stays on tape."""
    COPY_WANTED_BY_REQUEST = (
        "copy-wanted-by-request",
        "a pending request wants the file in this node's group; see: alpenhorn request list",
    )
    """A deleted copy would be pulled again."""
    TOO_FEW_ARCHIVE_COPIES = (
        "too-few-archive-copies",
        "needs {needed} other good archive copies; has {left}{remedy}",
    )
    """Only good copies on separate archive media that a run has seen recently count."""
    POLICY_NEEDS_COPY = "policy-needs-copy", "policy {name} needs {lack}; see: alpenhorn policy check"
    """A copy is deleted only if the other ones are all that each policy asks for."""
    DEFAULT_POLICY_DIFFERS = (
        "default-policy-differs",
        "host {host}: sync.archive_copy_count is {count}, but the policy default asks for {copies} copies; deletions"
        " keep the larger number; make them equal in the configuration, or with: alpenhorn policy modify default"
        " --copies {count}",
    )
    """The policy of the index and the configuration of a host should agree."""
    POLICY_COPY_SUSPECT = "policy-copy-suspect", "the next run checks suspect copies"
    """The copies are there, and count once a check has found them good."""
    POLICY_REQUESTED = "policy-requested", "requested; see: alpenhorn request list"
    """The copies are requested; pending requests have reasons of their own."""
    POLICY_NO_SOURCE = "policy-no-source", "no good copy to copy from; see: alpenhorn repair"
    """Without a good copy on an active node, nothing can be copied."""
    POLICY_FILE_RELEASED = (
        "policy-file-released",
        "all its copies are released; to keep them: alpenhorn node clean NODE --cancel",
    )
    """No copies are made of a file that is to be deleted everywhere."""
    POLICY_FILE_YOUNG = "policy-file-young", "registered less than {age} ago"
    """Copies are requested once the file has the least age of the policy."""
    POLICY_NEXT_RUN = "policy-next-run", "the next run on {host} requests it"
    """A run compares files in slices, so with many files several runs may be needed."""
    POLICY_FILES_LEFT = (
        "policy-files-left",
        "the next run compares only {files} files with the policies; for all of them, see: alpenhorn policy check",
    )
    """The runs after it go on with the other files."""
    POLICY_NOT_ASKED = (
        "policy-not-asked",
        "no policy asks for that; to have them copied: alpenhorn policy create default --copies {count}",
    )
    """Without a policy, only rules and commands request copies."""
    POLICY_ASKS_LESS = (
        "policy-asks-less",
        "policy default does not ask for that; to change it: alpenhorn policy modify default --copies {count}",
    )
    """The files were checked for another number of copies than the policy asks for."""
    POLICY_NO_NODE = "policy-no-node", "no further active archive node{where} could have a copy"
    """An archive node must be added, activated, or given another site."""
    POLICY_NODES_FULL = "policy-nodes-full", "{only} is full: {node}"
    """Free space on these nodes, or add another archive node."""
    POLICY_COPY_RELEASED = (
        "policy-copy-released",
        "the copy on {node} is released; to keep it: alpenhorn node clean NODE --cancel",
    )
    """A released copy does not count, and no other one is pulled into its group before it is deleted."""
    POLICY_INVALID = (
        "policy-invalid",
        "policy {name}: its row in the index is invalid; see: alpenhorn policy list",
    )
    """No copy is deleted while it is not known what a policy asks for."""
    DELETE_LIMIT_EXCEEDED = (
        "delete-limit-exceeded",
        "nothing is deleted on {node}: more than {allowed:,} of its {copies:,} copies could be deleted now"
        " ({released:,} are released), which exceeds delete_limit; to delete them: alpenhorn sync --node"
        " {node!q} --allow-mass-delete; to undo the release: alpenhorn node clean {node!q} --cancel",
    )
    """A mass deletion is more often a mistake than intended."""

    REMOVAL_FAILED = "removal-failed", "cannot delete {path}: {why}"
    """The file system refused the deletion."""
    REMOVAL_NOT_FLUSHED = "removal-not-flushed", "the deletion cannot be flushed to disk: {why}"
    """The file may reappear after a power failure, so it is not recorded as deleted."""
    NOT_MOVED_TO_TRASH = (
        "not-moved-to-trash",
        "cannot move {path} to the trash {trash}: {why}; correct that, or set sync.trash to 0 to delete files at once",
    )
    """The file stays, since it could not be brought back otherwise."""
    DELETED_PAST_TRASH = (
        "deleted-past-trash",
        "deleted on {node} and not moved to the trash: {why}",
    )
    """The file was on another file system than the trash, or there was no room for the trash's directories."""
    TRASH_UNUSABLE = "trash-unusable", "the trash of {node} cannot be used: {why}"
    """Nothing can be brought back from there, and it is not emptied."""
    TRASH_NOT_EMPTIED = "trash-not-emptied", "the trash of {node} cannot be emptied: {why}"
    """A batch is left; the next run tries again."""
    TRASH_STILL_NEEDED = (
        "trash-still-needed",
        "{files} kept in the trash of {node} beyond the time, since too few other good copies are known; to bring them"
        " back: alpenhorn node undelete {node!q}",
    )
    """Copies on which the deletion relied were lost or not seen since; nothing is deleted that may be the last copy."""
    MOUNTED_IN_TRASH = "mounted-in-trash", "another file system is mounted at {name}"
    """Nothing outside of the trash is deleted; unmount it."""
    NOT_IN_TRASH = "not-in-trash", "{path} is not in the trash any more"
    """It was deleted, or the disk was exchanged."""
    NOT_UNDELETED = "not-undeleted", "not brought back from the trash of {node}"
    """The path is occupied, the file is not in the trash any more, or it cannot be moved."""
    UNDELETED = "undeleted", "brought back from the trash; to be read in full"
    """Somebody asked for it with `alpenhorn file undelete` or `node undelete`."""
    UNDELETION_WANTED = "undeletion-wanted", "to be brought back from the trash"
    """The next run moves the file back to its path, unless something is there."""
    TRASH_TIME_OVER = "trash-time-over", "was in the trash for longer than sync.trash"
    """The next run deletes the file for good."""
    TRASH_FILE_NEEDED = "trash-file-needed", "stays in the trash, since too few other good copies are known"
    """Its time is over; copies on which the deletion relied were lost or not seen since."""
    COPY_THERE_AGAIN = "copy-there-again", "the node has a copy again"
    """Nothing is brought back from the trash over it."""
    KEEPERS_NOT_AS_RECORDED = (
        "keepers-not-as-recorded",
        "too few of the other copies are as recorded: {failing}",
    )
    """The check just before the deletion found other copies missing or changed."""
    KEEPER_MISSING = "keeper-missing", "its copy is missing"
    """A copy on which the deletion relies is missing."""
    KEEPER_UNREACHABLE = "keeper-unreachable", "{why}"
    """The index lacks what is needed to reach the host of a copy on which the deletion relies."""
    KEEPER_NOT_LOOKED_AT = "keeper-not-looked-at", "its copy cannot be accessed: {why}"
    """A copy on which the deletion relies could not be checked."""

    # --- checks

    STORAGE_IN_DOUBT = (
        "storage-in-doubt",
        "{lost} of {looked} checked copies are missing or unreadable (such as {example}), and none is"
        " recorded as lost; if the storage is incomplete, repair or mount it; to record the loss: alpenhorn"
        " sync --node {node!q} --accept-loss",
    )
    """So many losses at once suggest that the storage is incomplete."""

    COPY_MISSING = "copy-missing", "no such file on the node"
    """The node is mounted, but the file is not there."""
    FILE_MISSING = "file-missing", "it is missing"
    """A node came back without the file."""
    COPY_NOT_REGULAR = "copy-not-regular", "it is not a regular file"
    """Something else is at the copy's path."""
    COPY_IRREGULAR = "copy-irregular", "it is {found}, not a regular file"
    """A link, socket, device, named pipe or directory is at the copy's path."""
    COPY_IRREGULAR_ON_NODE = (
        "copy-irregular-on-node",
        "{path} on node {node} is {found}, not a regular file",
    )
    """A link, socket, device, named pipe or directory is at the copy's path, so the copy is corrupt."""
    COPY_IS_SYMBOLIC_LINK = "copy-is-symbolic-link", "it is a symbolic link, which is not followed"
    """Something else is at the copy's path."""
    SYMBOLIC_LINK_ON_PATH = (
        "symbolic-link-on-path",
        "{path}: {name} is a symbolic link, which is not followed",
    )
    """The link may lead outside the node's root."""
    COPY_LENGTH_WRONG = "copy-length-wrong", "its length is {found} bytes, the index says {expected}"
    """The copy is corrupt, or it is another file."""
    COPY_MD5_WRONG = "copy-md5-wrong", "its MD5 sum is {found}, the index says {expected}"
    """The copy is corrupt, or it is another file."""
    COPY_SHA256_WRONG = (
        "copy-sha256-wrong",
        "its MD5 sum agrees with the index, but its SHA-256 sum is {found}, not {expected}",
    )
    """Two different files have the same MD5 sum, which does not happen by chance."""
    COPY_CHANGED = "copy-changed", "{difference}; it was modified at {modified} UTC, after it was registered"
    """The file was written after it was last known to be good, so its owner may have changed it."""
    COPY_UNREADABLE = "copy-unreadable", "cannot {doing} {path}: {why}"
    """A read error does not show that the data is corrupt."""
    COPY_NOT_LOOKED_AT = "copy-not-looked-at", "it cannot be accessed: {why}"
    """Whether the file exists is unknown."""
    COPY_NOT_FLUSHED = "copy-not-flushed", "it cannot be flushed to disk: {why}"
    """The data that was read may not be on disk yet."""
    COPY_CHANGED_MEANWHILE = "copy-changed-meanwhile", "it changed while it was being copied"
    """It stays a hard link for now; the next run tries again."""
    FILE_REPLACED_MEANWHILE = "file-replaced-meanwhile", "another file has just replaced it"
    """Someone renamed a file to the path at the same time; that file is left alone."""
    COPY_NEWER_THAN_MANIFEST = "copy-newer-than-manifest", "it was modified after the manifest was written"
    """The node came back, and the file was changed elsewhere."""

    # --- retirements

    RETIREMENT_NO_GOOD_COPY = "retirement-no-good-copy", "no good copy of it is on any node"
    """There is nothing to copy from; such files do not stop the rest."""
    RETIREMENT_COPY_SUSPECT = (
        "retirement-copy-suspect",
        "all of its copies are suspect; the next run on the host of each checks it",
    )
    """Only a good copy is copied elsewhere."""
    RETIREMENT_SOURCE_INACTIVE = (
        "retirement-source-inactive",
        "its good copies are on inactive nodes only ({nodes})",
    )
    """Nothing is pulled from an inactive node."""
    RETIREMENT_NEEDS_GROUP = (
        "retirement-needs-group",
        "needs {copies} more, and no other group may take it; name one with --into GROUP",
    )
    """The groups of the retirement have the file already, or there are too few of them."""

    # --- repairs

    GROUP_HAS_GOOD_COPY = (
        "group-has-good-copy",
        "its group has a good copy on {other}, so nothing would be pulled; if {node} needs no copy:"
        " alpenhorn file state FILE {node!q} --set Absent",
    )
    """A group needs only one good copy."""
    REQUEST_PENDING = "request-pending", "a request is already pending; see: alpenhorn request show ID"
    """The repair is in progress."""
    NO_GOOD_COPY = "no-good-copy", "no other node has a good copy"
    """The copy cannot be repaired."""
    NO_GOOD_COPY_IN_REACH = "no-good-copy-in-reach", "no good copy can be read now: {why}"
    """Good copies exist, but none can be read; the text gives the obstacle for each."""
    GOOD_COPY_NODE_INACTIVE = "good-copy-node-inactive", "{node} is not active"
    """A node with a good copy is not active."""
    GOOD_COPY_NODE_UNREACHABLE = (
        "good-copy-node-unreachable",
        "{node} cannot be reached from {host}: {why}",
    )
    """The index lacks what the host needs to reach a node with a good copy."""
    GROUP_NOT_IN_INDEX = (
        "group-not-in-index",
        "the group of node {node} is not in the index; put the node into another group",
    )
    """The group's row was removed."""
    DESTINATION_INACTIVE = (
        "destination-inactive",
        "{node} is not active, so nothing is pulled onto it; to activate it: alpenhorn node activate {node!q}",
    )
    """Nothing is pulled onto a node that is not active."""
    DESTINATION_WITHOUT_HOST = (
        "destination-without-host",
        "{node} has no host; set it with: alpenhorn node modify {node!q} --host HOST",
    )
    """No run works on a node without a host."""

    # --- imports

    FILE_NOT_REGISTERED = (
        "file-not-registered",
        "it is not in the index, and registering new files was not requested",
    )
    """The import does not register new files."""
    NO_IMPORT_PATTERN_MATCHES = "no-import-pattern-matches", "no import pattern matches"
    """No configured pattern matches the path."""
    NO_ACQUISITION_DIRECTORY = "no-acquisition-directory", "it is not in an acquisition directory"
    """Without patterns, the first directory of the path names the acquisition."""
    TOP_NAME_TAKEN = (
        "top-name-taken",
        "it cannot be moved: {target} is taken by another file; rename one of them",
    )
    """The node has the setting `--top-acq`, and no file is ever replaced."""
    TOP_NAME_IS_DIRECTORY = (
        "top-name-is-directory",
        "it cannot be moved: its name is that of the directory {acq} into which it would be moved; rename it",
    )
    """The node has the setting `--top-acq`, and the file has the same name."""
    TOP_FILE_NOT_MOVED = "top-file-not-moved", "it cannot be moved to {target}: {why}"
    """The node has the setting `--top-acq`; the file is left where it is, and the next search tries again."""
    IGNORED_BY_CONFIGURATION = (
        "ignored-by-configuration",
        "its path matches [import] ignore in the configuration",
    )
    """New files whose path matches are not imported; reported only for a path that was asked for."""
    NO_IMPORT_DETECTOR_CLAIMS_IT = "no-import-detector-claims-it", "no import detector claims it"
    """All detectors of installed packages declined the file."""
    DETECTOR_GAVE_WRONG_ACQUISITION = (
        "detector-gave-wrong-acquisition",
        "the import detector {detector} returned an acquisition that is not the start of its path",
    )
    """An installed package is faulty."""
    NAME_NEVER_IMPORTED = (
        "name-never-imported",
        "names that start with a dot, and {marker}, are never imported",
    )
    """Hidden files and alpenhorn's own files are not data."""
    ACQUISITION_NAME_TOO_LONG = (
        "acquisition-name-too-long",
        "the acquisition's name is longer than {most} characters",
    )
    """The index cannot store it."""
    FILE_NAME_TOO_LONG = "file-name-too-long", "the file's name is longer than {most} characters"
    """The index cannot store it."""
    NAME_NOT_UTF8 = (
        "name-not-utf8",
        "the name is not valid UTF-8, so the index cannot store it; rename the file",
    )
    """The index stores names as text."""
    NAME_TAKEN_FOR_ANOTHER = (
        "name-taken-for-another",
        "the index does not distinguish its name from that of another acquisition or file, since its"
        " collation does not compare byte for byte; see: alpenhorn db check",
    )
    """The collation of the index folds case or accents."""
    FILE_ROW_REMOVED_MEANWHILE = (
        "file-row-removed-meanwhile",
        "its row was removed from the index during the import; the next search treats it as a new file",
    )
    """The index was edited while the file was hashed."""
    IMPORT_OF_SHARED_PATH = (
        "import-of-shared-path",
        "the index has a file of acquisition {acq} at the same path on this node; make the import patterns of all"
        " hosts agree on the acquisition",
    )
    """The path would be registered twice."""

    FOUND_FILE_GONE = "found-file-gone", "it disappeared before it could be read"
    """The file was deleted after the search found it."""
    FOUND_FILE_GONE_BEFORE_LOOK = "found-file-gone-before-look", "it disappeared before it could be accessed"
    """The file was deleted after the search found it."""
    FOUND_FILE_LOCKED = "found-file-locked", "its lock file exists"
    """The program that writes the file has marked it as unfinished; it is imported later."""
    FOUND_FILE_CHANGED_LATELY = "found-file-changed-lately", "it changed a moment ago"
    """The file may be unfinished; it is imported later."""
    FOUND_FILE_CHANGING = "found-file-changing", "it changed while it was being read"
    """The file is unfinished; it is imported later."""
    FOUND_FILE_UNREADABLE = "found-file-unreadable", "cannot {doing} it: {why}"
    """The user running alpenhorn has no permission to read it, or the disk fails."""
    FOUND_NOT_REGULAR = "found-not-regular", "it is not a regular file"
    """Links, sockets and devices are never imported."""
    SEARCHED_PATH_EMPTY = "searched-path-empty", "nothing exists at that path: {why}"
    """The request or command names a path that does not exist."""
    SEARCHED_PATH_UNREADABLE = "searched-path-unreadable", "cannot access {path}: {why}"
    """The user running alpenhorn has no permission, or the disk fails."""
    IMPORT_OF_FILE_ON_TAPE = (
        "import-of-file-on-tape",
        "it is {where}; {remedy}",
    )
    """Runs do not wait for tape."""
    PATH_OF_OTHER_NODE = "path-of-other-node", "it {how} {where}"
    """Files are imported by the node whose root contains them."""
    DETECTORS_UNDECIDED = (
        "detectors-undecided",
        "the import detectors ({detectors}) gave no usable answer: {why}",
    )
    """The file is imported once they give one."""
    DETECTORS_HUNG = "detectors-hung", "they hung before and are not called again in this search"
    """Detectors of packages hung or crashed on several files."""
    DETECTOR_UNUSABLE = "detector-unusable", "the import detector {detector} of {origin}: {why}"
    """An installed package cannot be loaded."""
    DETECTOR_FACTS_FAILED = "detector-facts-failed", "its facts could not be read from the index: {why}"
    """The function of a package that reads facts for its import detector raised an exception."""
    DETECTOR_FAILED = "detector-failed", "the import detector {detector} failed: {why}"
    """An installed package raised an exception."""
    DETECTOR_GAVE_WRONG_ANSWER = (
        "detector-gave-wrong-answer",
        "the import detector {detector} returned {answer}; expected None, a name, or (name, callback)",
    )
    """An installed package is faulty."""

    # --- comparisons of index and disk

    RECORDED_AS_GONE = "recorded-as-gone", "recorded as gone"
    """The file exists, but the index says that it does not."""
    NOT_THE_COPY_THAT_IS_GONE = (
        "not-the-copy-that-is-gone",
        "the copy at this path is recorded as gone, and this is another file: {why}",
    )
    """Another file is at the path of a former copy."""
    MODIFIED_AFTER_VERIFICATION = (
        "modified-after-verification",
        "modified after {moment} UTC, when it was last verified",
    )
    """The file may not be the one that was verified."""
    APPEARED_AFTER_RECORD = (
        "appeared-after-record",
        "it appeared after {moment} UTC, when the copy was recorded as gone",
    )
    """Someone put a file there later, so it is not treated as the copy."""
    DISK_FILE_NOT_REGULAR = "disk-file-not-regular", "not a regular file"
    """Something else is at the copy's path."""
    DISK_FILE_LENGTH_WRONG = "disk-file-length-wrong", "length is {found} bytes, the index says {expected}"
    """The file differs from the index."""
    NO_SUCH_FILE = "no-such-file", "no such file"
    """The copy is missing on the disk."""
    NO_SUCH_DIRECTORY = "no-such-directory", "no such directory"
    """The copy's directory is missing on the disk."""
    FILES_IN_DIRECTORY_UNREADABLE = "files-in-directory-unreadable", "cannot stat files in it: {why}"
    """Whether they match the index is unknown."""
    FILE_STATUS_UNREADABLE = "file-status-unreadable", "cannot stat the file: {why}"
    """Whether the file matches the index is unknown."""
    DIRECTORY_UNREADABLE = "directory-unreadable", "cannot list the directory: {why}"
    """The contents of the directory are unknown."""
    OTHER_NODES_ROOT = "other-nodes-root", "root of another node"
    """The directory has the marker of a node and is left out."""

    # --- tape

    FILE_NOT_ON_DISK_AND_TAPE = "file-not-on-disk-and-tape", "it is {where}"
    """Only a file that is also on tape can leave the disk."""
    COPY_STAYS_ON_DISK = (
        "copy-stays-on-disk",
        "it was changed after it was written to tape, or must stay on disk",
    )
    """The disk space of the file cannot be freed."""
    LOST_BY_TAPE = "lost-by-tape", "it is lost on tape and not on disk"
    """The file is lost on this node."""
    LFS_REFUSED = "lfs-refused", "{why}"
    """A message of the program lfs."""

    TAPE_COPY_DID_NOT_COME = (
        "tape-copy-did-not-come",
        "its restore from tape was started and did not complete",
    )
    """The restore is started again later."""
    NOT_TO_TAPE_FROM_THERE = "not-to-tape-from-there", "it is {where}"
    """Only a file that is on disk can be put on tape."""
    NOT_ON_TAPE_AS_RECORDED = "not-on-tape-as-recorded", "{why}"
    """The storage's own checksum is not the MD5 sum in the index, or the file is not on tape."""
    TAPE_REMOVAL_FAILED = (
        "tape-removal-failed",
        "deleted from the disk, but not from tape yet: {why}",
    )
    """Its deletion is not recorded; a later run tries again."""

    # --- transfers

    SOURCE_MISSING = "source-missing", "the source is missing: {why}"
    """The source file does not exist; its copy becomes suspect."""
    SOURCE_NOT_THERE = "source-not-there", "the source does not exist"
    """The source file does not exist; its copy becomes suspect."""
    SOURCE_NOT_REGULAR = "source-not-regular", "the source is not a regular file"
    """Something else is at the source's path; its copy becomes suspect."""
    SOURCE_NOT_REGULAR_BECAUSE = "source-not-regular-because", "the source is not a regular file: {why}"
    """Something else is at the source's path; its copy becomes suspect."""
    SOURCE_NOT_SENT = "source-not-sent", "the source is not a regular file: rsync sent nothing"
    """rsync skips files that are not regular; the source's copy becomes suspect."""
    SOURCE_UNREADABLE = "source-unreadable", "the source cannot be read: {why}"
    """A read error does not show that the data is corrupt; the pull is tried again."""
    SOURCE_LENGTH_WRONG = (
        "source-length-wrong",
        "the length of the source is {found}, not {expected} as in the index",
    )
    """The source's copy becomes suspect."""
    SOURCE_MD5_WRONG = (
        "source-md5-wrong",
        "the MD5 of the source is {found}, not {expected} as in the index",
    )
    """The source's copy becomes suspect."""
    SOURCE_SHA256_WRONG = (
        "source-sha256-wrong",
        "the MD5 of the source agrees with the index, but its SHA-256 is {found}, not {expected}",
    )
    """The source's copy becomes suspect."""
    SOURCE_CHANGED = "source-changed", "the source changed while it was being read"
    """Another program writes to the source; its copy becomes suspect."""
    SOURCE_SHRANK = "source-shrank", "the source became shorter while it was being read"
    """Another program writes to the source; its copy becomes suspect."""
    SOURCE_ROOT_ABSENT = "source-root-absent", "the root of the source does not exist: {why}"
    """The storage of the source is not mounted on its host."""
    SOURCE_ROOT_UNREADABLE = (
        "source-root-unreadable",
        "the root {root} of the source node {node} cannot be opened: {why}",
    )
    """The storage of the source is not mounted on this host, or the user running alpenhorn has no permission."""
    SOURCE_NODE_UNUSABLE = "source-node-unusable", "the source node cannot be used: {why}"
    """A copy is recorded as missing only if its node is mounted."""
    SOURCE_NODE_UNUSABLE_HERE = (
        "source-node-unusable-here",
        "the source node {node} cannot be used: {why}",
    )
    """The location of the source's files is unknown."""
    SOURCE_MARKER_NOT_ASKED_FOR = "source-marker-not-asked-for", "the marker of the source was not checked"
    """Whether the storage of the source is mounted on its host is unknown."""
    DESTINATION_UNWRITABLE = "destination-unwritable", "cannot write to the destination: {why}"
    """Nothing more is pulled onto the node in this run."""
    DESTINATION_OUT_OF_SPACE = "destination-out-of-space", "cannot write to the destination: {why}"
    """The disk or a quota is full; nothing more is pulled onto the node in this run."""
    ARRIVED_MD5_WRONG = (
        "arrived-md5-wrong",
        "the source is correct, but the data that arrived has the MD5 sum {found}",
    )
    """The destination stores other data than it was given."""
    FILE_NAME_IMPOSSIBLE = "file-name-impossible", "the file cannot have that name: {why}"
    """The destination's file system cannot store the name."""
    PATH_OCCUPIED = "path-occupied", "{path} already exists"
    """A file that the index does not know is at the path; a check determines what it is."""
    FILE_NOT_ON_DISK = "file-not-on-disk", "it is {where}"
    """It is on tape, and runs do not wait for tape."""
    RSYNC_FAILED = "rsync-failed", "rsync exited with status {status}: {why}"
    """For the status, see rsync(1)."""
    RSYNC_KILLED = "rsync-killed", "rsync was killed by signal {signal}"
    """A user or the system killed it."""
    BBCP_BROUGHT_NOTHING = "bbcp-brought-nothing", "bbcp wrote no file and gave no reason"
    """bbcp reported success, but the file does not exist."""

    # --- nodes left out

    NODE_ON_OTHER_HOST = "node-on-other-host", "it is on host {there}, and this is {here}"
    """A node named on the command line, or with import requests, belongs to another host."""
    NODE_INACTIVE = (
        "node-inactive",
        "it is not active; activate it with: alpenhorn node activate {node!q}",
    )
    """A node named on the command line, or with import requests, is not active."""
    NODE_WITHOUT_HOST = (
        "node-without-host",
        "it is on no host; set its host with: alpenhorn node modify {node!q} --host HOST",
    )
    """A node named on the command line, or with import requests, is active and has no host."""
    NODE_LOCKED_BY_RUN = "node-locked-by-run", "another run ({run}) is working on it"
    """Only one run at a time works on a node."""
    NODE_RETIRED = "node-retired", "node {node} is retired and receives nothing"
    """`node retire --cancel` undoes that."""
    NODE_TAKEN_OFF = "node-taken-off", "it was deactivated or taken off this host during the run"
    """The node was edited."""
    NODE_MOVED = (
        "node-moved",
        "its host, root or medium was changed during the run; work done at the old place since then is not"
        " recorded",
    )
    """The node was edited."""
    ROOT_DID_NOT_ANSWER = (
        "root-did-not-answer",
        "{root} did not answer within {seconds:g} s; check its disk or file server",
    )
    """The storage hangs."""
    ROOT_SHARED = (
        "root-shared",
        "its root {root} is also the root of active node {others}, so each copy would count twice;"
        " deactivate the wrong node: alpenhorn node deactivate NODE",
    )
    """Two nodes share one directory."""
    COMPARISON_FAILED = "comparison-failed", "comparing its files with the index failed: {why}"
    """Copies that have not been compared are not relied on."""
    MANIFEST_COMPARISON_FAILED = (
        "manifest-comparison-failed",
        "its files could not be compared with the index: {why}",
    )
    """A node that came back is compared before its copies are relied on."""
    SAMPLE_FAILED = "sample-failed", "a sample of its other copies could not be checked: {why}"
    """Before a loss is recorded, a sample of other copies is checked."""
    IDENTITY_UNWRITABLE = (
        "identity-unwritable",
        "its identity file {file} cannot be written: {why}; nothing is changed on the node until it can;"
        " check permissions and free space",
    )
    """The medium is full, read-only, or not writable by the user running alpenhorn."""
    INDEX_CHANGED_MEANWHILE = "index-changed-meanwhile", "the index was changed concurrently"
    """Another program changed what this run was about to confirm."""
    MEDIUM_NOT_LOOKED_AT = "medium-not-looked-at", "its medium is {standing}, and no run has checked it yet"
    """Its copies do not count until a run has checked it."""
    MEDIUM_OF_OTHER_NODE = (
        "medium-of-other-node",
        "the medium at {root} has the identity of node {other}: it is that medium or a clone of it; mount"
        " the right medium, or, to use this one as a separate node, delete {file}",
    )
    """A cloned disk, or a disk mounted in the wrong place."""
    MEDIUM_OF_OTHER_INDEX = (
        "medium-of-other-index",
        "the medium at {root} belongs to another index; mount the right medium, or check which index this"
        " host uses; to move the medium to this index, delete {file}",
    )
    """The disk belongs to another archive, or the configuration names the wrong index."""
    MEDIUM_BEHIND = (
        "medium-behind",
        "the medium of node {node} was {standing}: its state is older than the index",
    )
    """Its copies count once they have been compared with the index."""
    MEDIUM_UNCONFIRMED = "medium-unconfirmed", "a run on node {node} ended before it changed anything"
    """Its copies count once they have been compared with the index."""
    MEDIUM_AHEAD = (
        "medium-ahead",
        "node {node} was changed by runs that are not in the index: the index was restored from a backup,"
        " or its server lost commits",
    )
    """Nothing is deleted until `alpenhorn reconcile` has compared the nodes."""
    MEDIUM_EXCHANGED = (
        "medium-exchanged",
        "the medium of node {node} is not the one in the index, or was initialised again",
    )
    """Its copies are suspect and are checked."""

    # --- planned actions

    BY_HARD_LINK = "by-hard-link", "hard link"
    """The file would be hard-linked."""
    BY_COPY = "by-copy", "copy"
    """The file would be copied on this host."""
    BY_OBJECTS = "by-objects", "objects"
    """The file would be stored as an object, or fetched from one."""
    BY_RSYNC = "by-rsync", "rsync"
    """The file would be copied on this host by rsync."""
    BY_RSYNC_OVER_SSH = "by-rsync-over-ssh", "rsync over ssh"
    """The file would be fetched from another host by rsync."""
    BY_TAR_OVER_SSH = "by-tar-over-ssh", "tar over ssh"
    """The small file would be fetched from another host in a stream of tar; by rsync if that is not possible."""
    BY_BBCP = "by-bbcp", "bbcp"
    """The file would be fetched from another host by bbcp."""
    BY_STREAMS = "by-streams", "several ssh sessions"
    """The big file would be fetched from another host in several streams."""
    INITIALISATION_REQUESTED = "initialisation-requested", "initialise"
    """The marker would be written at the node's root."""
    IMPORT_REQUESTED = "import-requested", "search and import"
    """An import request would be carried out."""
    AUTO_IMPORT = "auto-import", "search for new files"
    """The node is searched in each run."""
    COPY_SUSPECT = "copy-suspect", "read and compare"
    """The copy would be read in full."""
    RELEASED_COPY_SUSPECT = "released-copy-suspect", "read and compare, unless it is deleted"
    """The copy would be deleted, or read in full."""
    NEVER_VERIFIED = "never-verified", "read again: never verified"
    """A good copy would be read."""
    VERIFIED_LONGEST_AGO = "verified-longest-ago", "read again: verified longest ago"
    """A good copy would be read again."""
    COPY_MAKES_ROOM = "copy-makes-room", "make room"
    """The copy would be deleted because its node needs room."""
    COMING_FROM_TAPE = "coming-from-tape", "being restored from tape"
    """The restore was started earlier."""
    ASKED_BACK_FROM_TAPE = "asked-back-from-tape", "restore from tape, to {purpose}"
    """The copy would be restored."""
    LEAVES_DISK_FOR_ROOM = "leaves-disk-for-room", "leave on tape only, to make room on disk"
    """The disk space of the copy would be freed."""
    NO_ROOM_TO_COME_FROM_TAPE = (
        "no-room-to-come-from-tape",
        "too little room on its disk to restore it from tape (see the setting headroom)",
    )
    """The disk in front of the tape is too full."""
    PUT_ON_TAPE_NOW = "put-on-tape-now", "put on tape, in a batch of {files}"
    """The batch would be begun."""
    GOING_TO_TAPE = "going-to-tape", "being put on tape, in batch {batch}"
    """The batch was begun earlier."""
    COLLECTED_FOR_TAPE = (
        "collected-for-tape",
        "not on tape yet: collected for a batch ({files} of {most} files, {size} of {most_size}; waits {wait} at most)",
    )
    """The batch is begun when it is full, or when its oldest file has waited long enough."""
    TAPE_BATCHES_UNDER_WAY = "tape-batches-under-way", "not on tape yet: waits for {batches} under way"
    """The storage class limits the number of batches at once."""
    TAPE_BATCH_WAITS_AFTER_FAILURE = (
        "tape-batch-waits-after-failure",
        "not on tape yet: {why}; tried again later",
    )
    """The last batch did not put the file on tape."""
    NO_SUCH_REQUEST = "no-such-request", "no such request"
    """It was removed from the index."""
    REQUEST_NOT_PENDING = "request-not-pending", "it is no longer pending"
    """It was done or cancelled in the meantime."""
    GROUP_WITHOUT_NODE_ANYWHERE = (
        "group-without-node-anywhere",
        "its group has no active node on any host",
    )
    """No run can carry out the request."""
    GROUP_RETIRED = (
        "group-retired",
        "all active nodes of its group are retired ({nodes}); add a node to the group, cancel the request, or run:"
        " alpenhorn node retire NODE --cancel",
    )
    """A retired node receives nothing."""
    REQUEST_GROUP_NOT_IN_INDEX = (
        "request-group-not-in-index",
        "its group is no longer in the index; cancel it with: alpenhorn request cancel ID",
    )
    """No run carries out the request; `plan --files --json` and `request list` show its id."""
    REQUEST_NODE_NOT_IN_INDEX = "request-node-not-in-index", "its node is no longer in the index"
    """No run carries out the import request."""
    REQUEST_FOR_OTHER_HOST = (
        "request-for-other-host",
        "its group has no active node on this host; a run on {hosts} may serve it",
    )
    """Plan the request on that host."""

    # --- summary of a run

    PULLS_FAILED = "pulls-failed", "pulls from {source} onto {node} failed"
    """Each pull is tried again; `request list --state failing` has the reasons."""
    SOURCE_ON_TAPE_ONLY = "source-on-tape-only", "not pulled yet: on tape only on {node}"
    """The copy is being restored."""
    COPIES_UNREADABLE = "copies-unreadable", "copies on {node} could not be read"
    """They stay suspect until they can be read."""
    FOUND_MISSING = "found-missing", "{verdict} on {node}"
    """A check found no file."""
    FOUND_CORRUPT = "found-corrupt", "{verdict} on {node}"
    """A check found data that differs from the index."""
    DELETION_CLAIMS_TOO_OLD = (
        "deletion-claims-too-old",
        "not deleted yet on {node}: the claims were too old when the worker reached the files",
    )
    """A later run decides again."""
    RELEASED_COPY_WRITTEN = (
        "released-copy-written",
        "it was modified at {modified} UTC, after it was last known to be good; it is read before it is deleted",
    )
    """Only what is known to be the registered file is deleted."""
    RELEASED_COPIES_GONE = "released-copies-gone", "released copies on {node} were already gone"
    """Someone else deleted them."""
    RELEASED_COPIES_CORRUPT = (
        "released-copies-corrupt",
        "released copies on {node} differ from the index and were kept as corrupt; inspect them; to delete"
        " them anyway: alpenhorn node clean {node!q} --now --include-bad -F LIST",
    )
    """Only what matches the index is deleted."""
    RELEASED_COPIES_KEPT = (
        "released-copies-kept",
        "released copies on {node} were kept, since too few other copies are as recorded",
    )
    """The check just before the deletion found other copies missing or changed."""
    DELETIONS_FAILED = "deletions-failed", "copies on {node} could not be deleted"
    """Each deletion is tried again."""
    NODE_CAME_BACK_CHANGED = (
        "node-came-back-changed",
        "node {node} has changed since it was last seen here; changed copies are suspect until they are read",
    )
    """Files changed while the node was away."""
    MANIFEST_NOT_WRITTEN = (
        "manifest-not-written",
        "the manifest of node {node} could not be written: {why}; {remedy}",
    )
    """The next run tries again."""
    MANIFEST_GONE = (
        "manifest-gone",
        "the manifest of node {node} is missing: its files are compared with the index, and a new one is"
        " written",
    )
    """It was deleted, or the disk was restored."""
    NODE_SETTINGS_WARNING = "node-settings-warning", "{detail}"
    """The node's settings work, but are probably a mistake."""
    GROUP_SETTINGS_WARNING = "group-settings-warning", "{detail}"
    """The group's settings work, but are probably a mistake."""
    NODE_NOT_INITIALISED = "node-not-initialised", "node {node} could not be initialised: {why}"
    """The request stays pending."""
    ROOTS_NESTED = (
        "roots-nested",
        "{overlap}; give one of them another root; see: alpenhorn doctor",
    )
    """Files on one node are also found on the other."""
    HOST_NOT_IN_INDEX = (
        "host-not-in-index",
        "this host is named {host}, and the index has no host of that name, so runs do nothing; see:"
        " alpenhorn doctor",
    )
    """The host was renamed, or `sync.host` is wrong."""
    NODE_DIFFERS_FROM_INDEX = "node-differs-from-index", "node {node} differs from the index"
    """`alpenhorn reconcile` lists the differences."""
    COPIES_ON_TAPE_NOT_READ = (
        "copies-on-tape-not-read",
        "node {node} uses tape; its good copies were not read",
    )
    """`--read` restores nothing from tape."""
    SEARCH_NOT_REMEMBERED = (
        "search-not-remembered",
        "the progress of the search on {node} cannot be saved; the next run searches again",
    )
    """The node cannot be written to."""
    SEARCH_INCOMPLETE = "search-incomplete", "the search on {node} is incomplete"
    """Some directories could not be read; the next run tries again."""
    SEARCH_STOPS_AT_OTHER_NODE = "search-stops-at-other-node", "the search of node {node} stops at {where}"
    """Files are imported by the node whose root contains them."""
    SHARED_BYTES_NOT_LOOKED_FOR = (
        "shared-bytes-not-looked-for",
        "the copies on {node} could not be checked for hard links",
    )
    """They do not count as archive copies yet."""
    COPIES_SHARE_BYTES = (
        "copies-share-bytes",
        "copies on {node} are hard links and do not count as archive copies",
    )
    """They could not be replaced by separate files."""
    CLAIMS_RAN_OUT = (
        "claims-ran-out",
        "{claims} claims expired before they were renewed: the run was suspended, or the index was"
        " unavailable",
    )
    """Files worked on under them may now belong to another run."""
    HEADROOM_LACKING = (
        "headroom-lacking",
        "node {node} has less free space than its headroom, and no more copies can leave its disk: they are"
        " needed by pending requests, or not on tape yet",
    )
    """The disk in front of the tape is too full."""
    COPIES_NEITHER_ON_DISK_NOR_TAPE = (
        "copies-neither-on-disk-nor-tape",
        "copies on {node} are neither on disk nor on tape; they are checked",
    )
    """They may be lost."""
    TAPE_LOOK_FAILED = "tape-look-failed", "cannot determine whether files on {node} are on disk or tape"
    """The next run tries again."""
    TAPE_RESTORE_FAILED = "tape-restore-failed", "files on {node} cannot be restored from tape"
    """The restore is tried again."""
    TAPE_LEAVE_FAILED = "tape-leave-failed", "the disk space of files on {node} could not be freed"
    """The disk in front of the tape stays as full as it is."""
    TAPE_BATCH_FAILED = "tape-batch-failed", "files on {node} could not be put on tape"
    """They stay on disk; a later run tries again."""
    TAPE_AWAY = "tape-away", "the tape of node {node} cannot be used: {why}"
    """Files stay on disk; the next run tries again."""
    DETECTOR_CALLBACK_WITHHELD = (
        "detector-callback-withheld",
        "the callback of the import detector {detector} was not called for imported files: {why}",
    )
    """The tables of an installed package cannot be used."""
    DETECTOR_CALLBACK_FAILED = (
        "detector-callback-failed",
        "{node}: the callback of the import detector {detector} failed for imported files: {why}",
    )
    """An installed package raised an exception; the files are imported anyway."""

    # --- reconciliations

    DRY_RUN = "dry-run", "dry run; nothing was recorded"
    """As requested."""
    TOO_MANY_COPIES_MISSING = (
        "too-many-copies-missing",
        "{missing} of {looked} copies are missing (such as {example}); nothing"
        " was recorded; mount or repair the storage, or record the loss with: alpenhorn reconcile"
        " --node {node!q} --accept-loss",
    )
    """The storage is probably incomplete."""
    NODE_CHANGED_DURING_COMPARISON = (
        "node-changed-during-comparison",
        "the node was moved or deactivated during the comparison",
    )
    """Nothing was recorded."""
    COMPARISON_STOPPED = "comparison-stopped", "the run was stopped; {left} copies were not compared"
    """The node's copies do not count yet."""
    COMPARISON_INCOMPLETE = (
        "comparison-incomplete",
        "{left} of {expected} copies could not be compared",
    )
    """The node's copies do not count yet."""
    INDEX_CHANGED_DURING_COMPARISON = (
        "index-changed-during-comparison",
        "its copies changed in the index during the comparison; run it again",
    )
    """The node's copies do not count yet."""

    # --- problems that `status` shows

    DELETIONS_SUSPENDED = "deletions-suspended", "nothing is deleted on this index: {why}"
    """The index was restored from a backup, or lost commits; run `alpenhorn reconcile`."""
    NODE_LEFT_OUT = "node-left-out", "node {node} is left out: {why}"
    """Runs do nothing on it."""
    NODE_LEFT_OUT_SINCE = (
        "node-left-out-since",
        "{node} was left out at {since} UTC, and no run has been able to use it since: {why}",
    )
    """Its copies do not count for deletions."""
    COPIES_TO_BE_COMPARED = (
        "copies-to-be-compared",
        "the copies on {node} do not count until they have been compared: {why}",
    )
    """The node's disk is not in the state that the index recorded."""
    COPIES_TO_BE_READ = "copies-to-be-read", "{copies} still to be read: {why} ({since} UTC)"
    """Runs read them; they count once found good."""
    FILES_WITHOUT_GOOD_COPY = (
        "files-without-good-copy",
        "{files} no good copy anywhere{more}: {example}",
    )
    """The files are lost unless a suspect or corrupt copy can be repaired by hand."""
    BAD_COPIES_REPLACEABLE = "bad-copies-replaceable", "{copies} on {node} can be replaced from a good copy"
    """`alpenhorn repair` requests them."""
    COPIES_CORRUPT = "copies-corrupt", "{copies} on {node}"
    """They differ from the index."""
    COPIES_CHANGED = (
        "copies-changed",
        "{copies} changed on {node} after registration and left alone, such as {example}; to bring back the old"
        " contents and keep the new ones under another name: alpenhorn repair --node {node!q} --replace --file"
        " {example!q}; to accept the new ones{where}: alpenhorn file modify {example!q} --from-copy {node!q}",
    )
    """Nothing replaces or deletes them until somebody decides which contents are right."""
    COPIES_MISSING = "copies-missing", "{copies} on {node}"
    """They disappeared without being deleted by a run."""
    COPIES_SUSPECT = "copies-suspect", "{copies} on {node}"
    """The next run on the node's host reads them."""
    FILES_WITH_FEW_COPIES = (
        "files-with-few-copies",
        "{files} fewer good archive copies than they should have (counted {counted} UTC)",
    )
    """Runs count these files once a day; those registered within the last day are left out."""
    REQUESTS_FAILING = "requests-failing", "{requests} failing because of: {blame}"
    """Each is tried again, at growing intervals."""
    LAST_RUN_FAILED = "last-run-failed", "the last run on {host}, started {started} UTC, {how}"
    """`alpenhorn history --run` shows what it did."""
    REQUESTED_FILES_UNVERIFIABLE = (
        "requested-files-unverifiable",
        "{files} no length or MD5 sum and cannot be copied{more}: {example}",
    )
    """The suggested command computes them from a copy."""
    REQUESTS_FOR_INACTIVE_NODE = (
        "requests-for-inactive-node",
        "{requests} for {node}, which is not active",
    )
    """No run carries them out until the node is active."""
    IMPORTS_FOR_INACTIVE_NODE = (
        "imports-for-inactive-node",
        "{requests} for {node}, which is not active",
    )
    """No run carries them out until the node is active."""
    IMPORTS_FOR_NODE_WITHOUT_HOST = (
        "imports-for-node-without-host",
        "{requests} for {node}, which has no host",
    )
    """No run carries them out until the node has a host."""
    REQUESTS_FOR_IDLE_GROUP = (
        "requests-for-idle-group",
        "{requests} for group {group}, which has no active node",
    )
    """No run carries them out until a node of the group is active."""
    REQUESTS_FOR_RETIRED_GROUP = (
        "requests-for-retired-group",
        "{requests} for group {group}, whose active nodes are retired ({nodes})",
    )
    """No run carries them out until the group has another active node; `request cancel` removes them."""
    RETIREMENT_STUCK = "retirement-stuck", "{files} on {node}, which is retired, cannot be copied elsewhere"
    """`node retire NODE --list` gives the reason for each; the other files are copied."""
    RETIREMENT_NOT_SERVED = (
        "retirement-not-served",
        "{copies} left on {node}, which is retired, and no run works on it",
    )
    """The node is inactive or has no host; if its disk is dead, use `node retire --lost`."""
    REQUESTS_FOR_EMPTY_GROUP = "requests-for-empty-group", "{requests} for group {group}, which has no node"
    """No run carries them out until the group has a node; `request cancel` removes them."""
    REQUESTS_WITHOUT_PLACE = (
        "requests-without-place",
        "{requests} for a node or group that is no longer in the index",
    )
    """No run carries them out; `request cancel` removes them."""
    RELEASES_KEPT = "releases-kept", "{copies} on {node} cannot be deleted, such as {example}: {why}"
    """They use space until the reason is gone or the release is undone."""
    NODE_OVERDUE = (
        "node-overdue",
        "{node} is away since {since} UTC, and was expected back within {days}",
    )
    """The number of days is that of `node modify --absent-ok`."""
    HOST_RUN_OLD = "host-run-old", "the last run on {host} began {age} ago, at {started} UTC{usual}"
    """Its cron line no longer works, or the host is down."""
    HOST_RUN_UNENDED = (
        "host-run-unended",
        "the last run on {host} began {age} ago, at {started} UTC, and has recorded no end",
    )
    """It hangs, was killed, or the host went down."""
    VERIFICATION_OLD = "verification-old", "a copy on {node} was last verified {age} ago"
    """With the node's `--auto-verify`, each copy should be read at least once a year."""
    ACTIVE_NODE_WITHOUT_HOST = "active-node-without-host", "{node} is active and has no host"
    """No run works on it."""
    ACTIVE_NODE_WITHOUT_ROOT = "active-node-without-root", "{node} is active and has no root"
    """No run works on it."""
    NODE_NOT_WORKED_ON = "node-not-worked-on", "no run has worked on {node} yet"
    """Its host has no cron line, or the node is new."""
    NODE_WITHOUT_ROOM = "node-without-room", "{node} has no room for more files"
    """Nothing is pulled onto it."""
    BACKUP_MISSING = "backup-missing", "the index has no backup"
    """`alpenhorn db backup` creates one."""
    BACKUP_OLD = "backup-old", "the newest backup of the index is {age} old: {path}"
    """`database.backup_within` is exceeded."""
    BACKUP_IN_FUTURE = (
        "backup-in-future",
        "the newest backup of the index is dated in the future: {path}",
    )
    """A clock was wrong."""

    # --- problems that `doctor` finds

    CONFIGURATION_WRONG = "configuration-wrong", "{detail}"
    """A configuration file cannot be used."""
    UNSEEN_NODES_TRUSTED = (
        "unseen-nodes-trusted",
        "trust_unseen = true in [sync]: copies on nodes that no run has seen allow other copies to be"
        " deleted",
    )
    """Intended for migrations only."""
    PASSWORD_READABLE = "password-readable", "the password file {file} can be read by others"
    """Any user of the host can change the index."""
    PASSWORD_IN_READABLE_FILE = (
        "password-in-readable-file",
        "{file} holds the password of the index and can be read by others",
    )
    """Any user of the host can change the index."""
    PRIVATE_KEY_READABLE = "private-key-readable", "the private key {file} can be read by others"
    """Any user of the host can log in to the server of the index."""
    OPTION_FILE_READABLE = "option-file-readable", "the option file {file} can be read by others"
    """Any user of the host can read the password of the index if the file holds it."""
    NOTIFY_URLS_READABLE = (
        "notify-urls-readable",
        "{file} holds URLs of notifications, which are secret, and can be read by others",
    )
    """Any user of the host can send messages in alpenhorn's name, or tell the dead man's switch that runs work."""
    NOTIFY_PACKAGE_MISSING = "notify-package-missing", "{channel}: the package apprise is not installed"
    """No message can be sent this way."""
    NOTIFY_URL_UNUSABLE = "notify-url-unusable", "{channel}: the URL is not valid for this service"
    """No message can be sent this way."""
    NOTIFY_COMMAND_MISSING = "notify-command-missing", "{channel}: {where}"
    """No message can be sent this way."""
    LOG_FILE_IS_DIRECTORY = "log-file-is-directory", "the log file {file} is a directory"
    """Runs cannot start."""
    LOG_FILE_UNWRITABLE = "log-file-unwritable", "the log file {file} cannot be written"
    """Runs cannot start."""
    LOG_DIRECTORY_MISSING = (
        "log-directory-missing",
        "the log file {file} cannot be created: no such directory: {directory}",
    )
    """Runs cannot start."""
    LOG_DIRECTORY_UNWRITABLE = (
        "log-directory-unwritable",
        "the log file {file} cannot be created in its directory",
    )
    """Runs cannot start."""
    SYSTEM_LOG_UNUSABLE = "system-log-unusable", "the system log {path} cannot be opened: {why}"
    """No system logger is running."""
    METRICS_PACKAGE_MISSING = (
        "metrics-package-missing",
        "no metrics are written: the Python package prometheus_client cannot be imported: {why}; to install it: pip"
        " install 'alpenhorn[metrics]'",
    )
    """The extra `metrics` is not installed, but [metrics] textfile is set."""
    METRICS_FILE_UNUSABLE = "metrics-file-unusable", "metrics cannot be written: {file}: {why}"
    """The file of [metrics] textfile cannot be read or replaced."""
    METRICS_FAILED = "metrics-failed", "metrics cannot be determined: {why}"
    """An unexpected error; the run itself is not affected."""
    REPORT_PACKAGE_MISSING = (
        "report-package-missing",
        "no report is written: a Python package for reports cannot be imported: {why}; to install what reports need:"
        " pip install 'alpenhorn[report]'",
    )
    """The extra `report` is not installed."""
    REPORT_FILE_UNUSABLE = "report-file-unusable", "the report cannot be written: {file}: {why}"
    """The file of `alpenhorn report --output` cannot be created or replaced."""
    BAGIT_PACKAGE_MISSING = (
        "bagit-package-missing",
        "no bag is written: the Python package bagit cannot be imported: {why}; to install it: pip install"
        " 'alpenhorn[bagit]'",
    )
    """The extra `bagit` is not installed."""
    TOOL_MISSING = "tool-missing", "{tool} ({program}) {where}: {purpose}"
    """A required program is not installed."""
    TOOL_HANGS = "tool-hangs", "{tool} ({path}) did not print its version within {seconds:g} s"
    """A required program does not answer."""
    TOOL_TOO_OLD = "tool-too-old", "{tool} does not support the options that pulls use: {said}"
    """A newer version is required."""
    TOOL_FAILS = "tool-fails", "{tool} ({path}): {why}"
    """A required program cannot be run."""
    INDEX_NOT_CONFIGURED = (
        "index-not-configured",
        "no index is configured, and the default one, {path}, does not exist yet",
    )
    """The first command that needs it creates it."""
    INDEX_ON_NETWORK_FILE_SYSTEM = (
        "index-on-network-file-system",
        "the index {path} is on a network file system ({kind}), where SQLite's locks may not hold",
    )
    """Two hosts that write at the same time may damage it."""
    INDEX_WITHOUT_READ_TIMEOUT = (
        "index-without-read-timeout",
        "the connection of the extension {extension} has no read time-out: a server that does not answer blocks runs",
    )
    """alpenhorn cannot limit the time that the driver of a package waits."""
    THIS_HOST_NOT_IN_INDEX = "this-host-not-in-index", "{detail}"
    """Runs on this host do nothing."""
    HOST_WITHOUT_ACTIVE_NODE = (
        "host-without-active-node",
        "host {host} has no active node, so runs here do nothing",
    )
    """There is nothing to work on."""
    NO_RUN_KNOWN = "no-run-known", "no run on {host} is recorded yet"
    """The host has no cron line, or is new."""
    LAST_RUN_LONG_AGO = "last-run-long-ago", "{detail}"
    """The cron line no longer works."""
    LAST_RUN_KILLED = (
        "last-run-killed",
        "{run}, and did not end: it was killed, or the host went down; the next run finishes its work",
    )
    """A user or the system killed it, or the host went down."""
    LAST_RUN_ENDED_WITH_FAILURES = (
        "last-run-ended-with-failures",
        "{run}, and ended with status {status}: {why}",
    )
    """`alpenhorn history --run` shows what it did."""
    HOSTS_NOT_ASKED = "hosts-not-asked", "not checked, since rsync or ssh is missing: {hosts}"
    """Whether files can be fetched from them is unknown."""
    HOST_CANNOT_BE_REACHED = "host-cannot-be-reached", "{lacks}, so nothing can be fetched from it"
    """The index does not record how to reach it."""
    THIS_HOST_CANNOT_BE_REACHED = (
        "this-host-cannot-be-reached",
        "other hosts need to fetch files from this one, but {lacks}",
    )
    """The index does not record how to reach this host."""
    HOST_DID_NOT_ANSWER = "host-did-not-answer", "host {host} did not answer within {seconds:g} s"
    """It is down, or its login shell waits for something."""
    NODE_MEDIUM_EXCHANGED = (
        "node-medium-exchanged",
        "node {node}: its medium is not the one in the index, or was initialised again",
    )
    """The next run marks its copies as suspect and reads them."""
    NODE_MEDIUM_AHEAD = (
        "node-medium-ahead",
        "node {node}: the index is older than the disk and lacks the last runs on it",
    )
    """The index was restored from a backup, or lost commits."""
    NODE_MEDIUM_BEHIND = (
        "node-medium-behind",
        "node {node}: its medium is in an older state than the index; the next run compares it",
    )
    """The disk was restored or cloned."""
    NODE_NOT_RECONCILED = (
        "node-not-reconciled",
        "node {node}: its copies do not count until they have been compared with the index",
    )
    """`alpenhorn reconcile` compares them."""
    ROOTS_ALIKE = (
        "roots-alike",
        "{overlap}: each copy there would count twice, so runs leave both out when both appear valid",
    )
    """Two nodes share one directory."""
    ROOT_INSIDE_ROOT = (
        "root-inside-root",
        "{overlap}: searches for new files stop there, but nothing else separates the two nodes",
    )
    """The root of one node is inside that of another."""
    NODE_ON_NO_HOST = "node-on-no-host", "node {node} is active but has no host, so no run works on it"
    """The node was taken off its host without being deactivated."""
    GROUP_ROW_MISSING = "group-row-missing", "the group of node {nodes} is not in the index"
    """The group was removed from the index."""
    NODE_DID_NOT_ANSWER = (
        "node-did-not-answer",
        "node {node}: {root} did not answer within {seconds:g} s; runs leave the node out",
    )
    """The storage hangs."""
    ROOT_HAS_FORMER_NAME = (
        "root-has-former-name",
        "node {node}: the marker in {root} has the node's former name {former}; the next run corrects it",
    )
    """The node was renamed."""
    NODE_UNWRITABLE = "node-unwritable", "node {node}: {why}"
    """The user running alpenhorn cannot write there."""
    NODE_WITHOUT_LOCKS = "node-without-locks", "node {node}: {why}"
    """The file system does not support the locks that runs need."""
    ROOT_NOT_MARKED_YET = (
        "root-not-marked-yet",
        "node {node}: {root} has no marker yet; the next run writes it",
    )
    """A request to initialise the node is pending."""
    ROOT_WITHOUT_MARKER = (
        "root-without-marker",
        "node {node}: {root} has no file {marker}, so it is not accepted as that node",
    )
    """An empty mount point looks like this."""
    NODE_TAKES_NO_MORE_FILES = (
        "node-takes-no-more-files",
        "node {node} has {free} free{limit}: it takes no more files",
    )
    """Nothing is pulled onto it."""

    # --- the index

    INDEX_UNUSABLE = "index-unusable", "{detail}"
    """The index is missing, cannot be reached, or is of another version."""
    TABLE_MISSING = "table-missing", "table {table} does not exist"
    """The index was not created, or not upgraded."""
    COLUMN_MISSING = "column-missing", "table {table} has no column {columns}"
    """The index was not upgraded."""
    INDEX_MISSING = "index-missing", "table {table} has no {kind} on {columns}"
    """Queries are slow, or the database does not enforce a constraint."""
    EXTRA_INDEX_MISSING = (
        "extra-index-missing",
        "table {table} has no index {index}: every run reads the whole table",
    )
    """Runs are slow."""
    TABLES_NOT_TRANSACTIONAL = (
        "tables-not-transactional",
        "these tables support neither transactions nor row locks: {tables}; two hosts that delete copies of"
        " a file at the same time may delete the last ones, and a run that is killed leaves half of what it"
        " recorded",
    )
    """The tables use another engine than InnoDB."""
    SERVER_READ_ONLY = (
        "server-read-only",
        "the server is read-only ({settings}), as replicas are: runs cannot record anything, and a replica"
        " may lag behind, so that deletions would rely on copies that no longer exist",
    )
    """The URL of the index names a replica."""
    SERVER_FLUSHES_LATE = (
        "server-flushes-late",
        "the server does not flush every commit (innodb_flush_log_at_trx_commit = {value}): after a crash"
        " or power failure the index may list copies as good that were deleted in the last second or two",
    )
    """A crash of the server may lose commits."""
    SERVER_FLUSHES_BINLOG_LATE = (
        "server-flushes-binlog-late",
        "the server does not flush its binary log with every commit (sync_binlog = {value}): after a crash,"
        " replicas and point-in-time restores lack commits and list deleted copies as good",
    )
    """A crash of the server may lose commits on its replicas."""
    SERVER_WITHOUT_DOUBLEWRITE = (
        "server-without-doublewrite",
        "the server writes pages without protection against torn writes (innodb_doublewrite is off): a"
        " power failure may damage the index",
    )
    """Pages that were written only in part cannot be restored."""
    COLLATION_FOLDS_NAMES = (
        "collation-folds-names",
        "names that differ only in case, accents or trailing blanks are treated as equal in {columns}",
    )
    """Two files may be treated as one."""
    COLLATION_IGNORES_BLANKS = (
        "collation-ignores-blanks",
        "names that differ only in trailing blanks are treated as equal in {columns}",
    )
    """Two files may be treated as one."""
    NAME_NOT_HELD = (
        "name-not-held",
        "the tables of the index cannot store a character of its name; to convert them to utf8mb4:"
        " alpenhorn db upgrade",
    )
    """The tables are in latin1 or utf8mb3; only that file is left out."""
    CHARACTER_SET_TOO_SMALL = (
        "character-set-too-small",
        "names with some characters are rejected, and different names may be treated as equal, in {columns}",
    )
    """The tables are not in utf8mb4."""
    ROWS_WITHOUT_TARGET = "rows-without-target", "{count} {what}: they are left alone"
    """Rows of the index refer to rows that no longer exist."""
    DIGESTS_DAMAGED = "digests-damaged", "sync_digest: rows with an invalid SHA-256 or MD5 sum: {count}"
    """Another program, or damage, changed the rows; they are ignored."""
    TALLIES_WRONG = "tallies-wrong", "the kept sums of copies differ from the rows in {parts} of the archive"
    """Another program changed copies without their `last_update`; `status` and `node stats` show the sums."""
    CLOCKS_DIFFER = "clocks-differ", "{detail}"
    """Claims expire by the server's clock."""

    # --- installed packages

    PLUGIN_NAME_TAKEN = (
        "plugin-name-taken",
        "{others} provides the same name, so neither is used; uninstall one of the packages",
    )
    """Two installed packages provide a component of the same name."""
    PLUGIN_NAME_BUILT_IN = "plugin-name-built-in", "alpenhorn has a class of that name and uses its own"
    """An installed package provides a storage class with a built-in name."""
    PLUGIN_NOT_LOADED = "plugin-not-loaded", "it cannot be loaded: {why}"
    """An installed package fails when it is imported."""
    PLUGIN_NOT_CALLABLE = "plugin-not-callable", "it is {kind}, and cannot be called"
    """An import detector, and a function that reads its facts, must be callable."""
    PLUGIN_HAS_WRONG_ARGUMENTS = (
        "plugin-has-wrong-arguments",
        "it requires {count} arguments; expected (path, node) or (path, node, index)",
    )
    """An import detector cannot be called."""
    PLUGIN_FACTS_OF_NO_DETECTOR = (
        "plugin-facts-of-no-detector",
        "no import detector has this name, so it is not called",
    )
    """The facts for an import detector need an entry point with the name of the detector."""
    PLUGIN_NOT_A_STORAGE_CLASS = "plugin-not-a-storage-class", "{detail}"
    """The entry point does not name a storage class."""
    PLUGIN_COMPONENT_UNUSABLE = "plugin-component-unusable", "{detail}"
    """The tables of an installed package cannot be used on this index."""
    PLUGIN_CONNECTOR_UNUSABLE = "plugin-connector-unusable", "{detail}"
    """The entry point does not name a connector to the index."""

    # --- storage, programs and runs

    ROOT_ABSENT = (
        "root-absent",
        "the root {root} of node {node} does not exist; mount it, or deactivate the node: alpenhorn node"
        " deactivate {node!q}",
    )
    """The directory does not exist."""
    ROOT_NOT_THERE = "root-not-there", "the root {root} does not exist; is its storage mounted?"
    """The root disappeared while it was in use."""
    ROOT_NOT_OPENED = (
        "root-not-opened",
        "the root {root} cannot be opened: {why}; is its storage mounted?",
    )
    """The root is missing, or the user running alpenhorn has no permission."""
    ROOT_MOUNTED_OVER = "root-mounted-over", "something else was mounted at {root} in the meantime"
    """The directory at the root is not the one that was opened."""
    ROOT_NOT_ABSOLUTE = "root-not-absolute", "the root {root!r} is not an absolute path"
    """The node's row holds no usable root."""
    NODE_ROOT_NOT_ABSOLUTE = (
        "node-root-not-absolute",
        "the root {root!r} of node {node} is not an absolute path; correct it with: alpenhorn node modify {node!q}"
        " --root DIR",
    )
    """Other programs might read such a root as a host or an option."""
    ROOT_NAME_IMPOSSIBLE = "root-name-impossible", "its root {root!r} cannot be the name of a directory"
    """The root has characters that cannot be encoded as a file name."""
    STAGE_NAME_IMPOSSIBLE = "stage-name-impossible", "{name!r} cannot be the name of a stage"
    """Stages are directories below ROOT/.alpenhorn; their names contain no slash."""
    ROOT_NOT_MARKED = (
        "root-not-marked",
        "{root} has no file {marker}: node {node} is not mounted there, or was never initialised (alpenhorn"
        " node init {node!q})",
    )
    """An empty mount point looks like this."""
    ROOT_NOT_MOUNTED = (
        "root-not-mounted",
        "{root} has no file {marker}, which earlier runs found there; mount the storage of node {node}, or, to replace"
        " it by another disk: alpenhorn node replace {node!q}",
    )
    """An empty mount point looks like this."""
    ROOT_OF_OTHER_NODE = (
        "root-of-other-node",
        "{root} belongs to node {other}, not to {node}; mount the right storage there, or correct the root"
        " with: alpenhorn node modify {node!q} --root DIR",
    )
    """The marker names another node."""
    ROOT_TAKEN = "root-taken", "{root} already belongs to node {other}; {node} needs another root"
    """A root can belong to one node only."""
    MARKER_UNREADABLE = "marker-unreadable", "{file} cannot be read: {why}"
    """Which node the storage belongs to is unknown."""
    MARKER_IS_SYMBOLIC_LINK = (
        "marker-is-symbolic-link",
        "{file} is a symbolic link, which is not followed; replace it with a regular file",
    )
    """Which node the storage belongs to is unknown."""
    MARKER_NOT_REGULAR = "marker-not-regular", "{file} is not a regular file"
    """Which node the storage belongs to is unknown."""
    PATH_NOT_REGULAR = "path-not-regular", "{path} on node {node} is not a regular file"
    """Something else is at the file's path."""
    NODE_WITHOUT_ROOT = (
        "node-without-root",
        "node {node} has no root; set it with: alpenhorn node modify {node!q} --root DIR",
    )
    """The location of the node's files is unknown."""
    SETTINGS_WRONG = "settings-wrong", "{detail}"
    """The io_config of a node or group is invalid."""
    GROUP_WITH_SEVERAL_NODES = (
        "group-with-several-nodes",
        "group {group} has more than one active node on this host ({nodes}); deactivate all but one with:"
        " alpenhorn node deactivate NODE",
    )
    """Which node is to receive a file would be ambiguous."""
    GROUP_NODES_WRONG = (
        "group-nodes-wrong",
        "group {group} needs exactly one active {name} node and one of another class on this host, but has"
        " {found}; to correct that: alpenhorn node activate NODE, alpenhorn node deactivate NODE",
    )
    """Large files go to one node, small files to the other."""
    STORAGE_CLASS_UNKNOWN = (
        "storage-class-unknown",
        "no storage class {name}: this version knows {known}; install the package that provides it",
    )
    """The package is not installed on this host, or the name is misspelt."""
    STORAGE_CLASS_UNUSABLE = (
        "storage-class-unusable",
        "the storage class {name} of {origin} cannot be used: {why}",
    )
    """An installed package cannot be loaded."""
    STORAGE_CLASS_FOR_GROUPS = (
        "storage-class-for-groups",
        "the storage class {name} of node {node} is for groups only",
    )
    """The node needs another class."""
    NODE_WITHOUT_DIRECTORY = (
        "node-without-directory",
        "node {node} keeps objects, not files in a directory, and {what} is not available for it",
    )
    """Some kinds of work exist only for nodes whose copies are files in a directory."""
    STORAGE_CLASS_FOR_NODES = (
        "storage-class-for-nodes",
        "the storage class {name} of group {group} is for nodes only",
    )
    """The group needs another class."""
    STORAGE_CLASS_REFUSES = "storage-class-refuses", "the storage class {name} rejects {owner}: {why}"
    """An installed package raised an exception."""
    STORAGE_CLASS_FAILS = "storage-class-fails", "the storage class {name} fails for {owner}: {why}"
    """An installed package raised an exception, or returned a value of the wrong type."""
    QUOTA_UNKNOWN = "quota-unknown", "the quota of node {node} cannot be read: {why}"
    """The program lfs failed."""
    QUOTA_IS_DEFAULT = (
        "quota-is-default",
        "the quota of node {node} is Lustre's default, whose limit lfs does not report; set it with:"
        " alpenhorn node modify {node!q} --io-var fixed_quota=KIB",
    )
    """Unknown space is not used."""
    LFS_QUOTA_UNCLEAR = "lfs-quota-unclear", "unexpected output of lfs quota: {answer!r}"
    """The output of the program lfs has an unknown format."""
    LFS_ANSWER_UNCLEAR = "lfs-answer-unclear", "{verb} on node {node}: unexpected output of lfs: {answer!r}"
    """The output of the program lfs has an unknown format."""
    ROOT_UNREADABLE = "root-unreadable", "{root}: {why}"
    """The root of a node cannot be accessed."""
    ROOT_NOT_INITIALISED = "root-not-initialised", "{root} cannot be initialised: {why}"
    """The marker could not be written."""
    OLD_MANIFEST_UNUSABLE = "old-manifest-unusable", "{why}"
    """The existing manifest cannot be continued and is replaced."""
    SYSTEM_ERROR = "system-error", "{why}"
    """A message of the operating system."""
    TASK_ENDED = "task-ended", "{fate}"
    """A worker's task ended without a result."""
    TASK_TIMED_OUT = "task-timed-out", "it did not end within {seconds:g} s and was killed"
    """The storage hangs, or is much slower than `timeout` allows."""
    WORKER_HANGS = "worker-hangs", "its worker hangs and cannot be killed"
    """It waits in the kernel for storage that does not answer."""
    WORKER_ENDED = "worker-ended", "its worker {how}"
    """A user killed it, or the system did for lack of memory."""
    MACHINE_UNWATCHED = (
        "machine-unwatched",
        "machine {machine} of the cluster may still work on it: its job could not be ended, or not be seen to end",
    )
    """The job ends by itself when nothing was heard from this host for 20 s; no run begins on the node before."""
    MACHINE_LOST = "machine-lost", "machine {machine} of the cluster cannot be used any more: {why}"
    """A worker of Dask was ended, or cannot be reached; the other machines and this host do the rest."""
    MACHINE_LOCK_TAKEN = "machine-lock-taken", "a run is beginning on node {node}"
    """A job of a run that has ended reached a machine late, and was refused there."""
    MACHINE_LEFT_OUT = (
        "machine-left-out",
        "machine {machine} of the cluster does no work on node {node}: {why}",
    )
    """The other machines and this host do it."""
    MACHINE_VERSIONS_DIFFER = (
        "machine-versions-differ",
        "it has {there}, and this host has {here}; install the same versions, and restart its Dask workers",
    )
    """Jobs are sent between processes in a form that other versions may read differently."""
    MACHINE_SEES_OTHER_STORAGE = (
        "machine-sees-other-storage",
        "{root} is not the same storage there; mount it there at the same path",
    )
    """What this host wrote to the node is not seen there, or the reverse."""
    MACHINE_OTHER_USER = (
        "machine-other-user",
        "its files belong to another user; run its Dask workers as the user of the runs on this host",
    )
    """Files of another user could not be changed by later runs."""
    MACHINE_CLOCK_DIFFERS = (
        "machine-clock-differs",
        "its clock differs from that of this host by {seconds} s; synchronise both",
    )
    """Times of files would be compared with the wrong time."""
    MACHINE_LOCKS_FAIL = (
        "machine-locks-fail",
        "a lock on {root} does not exclude it; mount the file system with locks between machines (NFS: without nolock"
        " and local_lock; Lustre: with flock)",
    )
    """Two machines could change one directory at the same time, or two runs one node."""
    MACHINES_NOT_TRIED = (
        "machines-not-tried",
        "this host does all work on node {node} itself, since the machines of the cluster could not be tried: {why}",
    )
    """The next run tries again."""
    MACHINE_SILENT = "machine-silent", "no answer within {seconds:g} s; look at the log of its Dask worker"
    """It is overloaded, stopped or cut off, or the storage hangs there."""
    SCHEDULER_UNUSABLE = (
        "scheduler-unusable",
        "this host does all work itself, since the Dask scheduler {scheduler} cannot be used: {why}; start it, or"
        " remove scheduler from [sync]",
    )
    """It is not running, or cannot be reached from this host."""
    DASK_MISSING = (
        "dask-missing",
        "this host does all work itself, since Dask, which [sync] scheduler needs, cannot be imported: {why}; pip"
        " install 'alpenhorn[dask]'",
    )
    """The extra is not installed in the environment of this alpenhorn."""
    SCHEDULER_WITHOUT_WORKERS = (
        "scheduler-without-workers",
        "this host does all work itself, since no worker is registered with the Dask scheduler {scheduler}; on each"
        " machine: dask worker {scheduler} --no-nanny; if a batch system starts them, look at its queue",
    )
    """No machine is part of the cluster, or its jobs still wait in the queue of the batch system."""
    WORKER_FAILED = "worker-failed", "{why}"
    """An error in alpenhorn or an extension; the log has the traceback."""
    OUTCOME_NOT_SENT = "outcome-not-sent", "its outcome cannot be sent: {why}"
    """An extension returned what cannot be sent between processes."""
    OUTCOME_UNREADABLE = "outcome-unreadable", "its outcome cannot be read: {why}"
    """An extension returned what cannot be read in another process."""

    STORAGE_UNUSABLE = "storage-unusable", "{detail}"
    """An extension's storage class reports that storage cannot be used; the text says why."""
    PROGRAM_FAILED = "program-failed", "{detail}"
    """A program that alpenhorn ran ended with an error."""
    PROGRAM_TIMED_OUT = "program-timed-out", "{detail}"
    """A program that alpenhorn ran did not end in time and was killed."""
    PROGRAM_MISSING = "program-missing", "{program} is not on PATH; install it, or set its path"
    """A program that alpenhorn runs is not installed."""
    PROGRAM_NOT_STARTED = "program-not-started", "{program} cannot be started: {why}"
    """The system does not start a program: it is not executable, or there are too many processes."""
    PROGRAM_ANSWER_TOO_LONG = "program-answer-too-long", "{program} printed more than {most} MiB"
    """The program was killed, since its output was too long to be correct."""
    PROGRAM_ARGUMENTS_IMPOSSIBLE = (
        "program-arguments-impossible",
        "{program} cannot be called with these arguments: {why}",
    )
    """An argument contains a NUL."""
    WORKER_NOT_STARTED = (
        "worker-not-started",
        "cannot start a worker process: {why}; raise the limit on this user's processes (ulimit -u)",
    )
    """No worker was left, and the system starts no new process."""
    RUN_STOPPED = "run-stopped", "the run was asked to stop"
    """SIGINT, SIGTERM or SIGHUP; the next run continues."""

    # --- nodes with objects

    REMOTE_NOT_MARKED = (
        "remote-not-marked",
        "{remote} has no object {marker} of node {node}: it is not the storage of the node, or was never initialised;"
        " check the settings of the node, or if it is new: alpenhorn node init {node!q}",
    )
    """A missing bucket, a wrong path and a new node look like this."""
    REMOTE_OF_OTHER_NODE = (
        "remote-of-other-node",
        "{remote} is marked as the storage of node {other}, not {node}; correct the setting remote of one of them",
    )
    """Two nodes must not share their objects: each copy would count twice."""
    REMOTE_OF_OTHER_MEDIUM = (
        "remote-of-other-medium",
        "{remote} is not the medium of node {node} that the index knows; correct the remote in rclone's configuration"
        " on this host",
    )
    """A storage of another archive has the same name and markers, or the storage was exchanged."""
    OBJECTS_NOT_READ_HERE = (
        "objects-not-read-here",
        "the objects of node {node} cannot be read on this host: {why}; rclone is needed here, with {remote} in its"
        " configuration as on host {host}",
    )
    """Nothing is concluded about the copies; files are pulled from other nodes meanwhile."""
    REMOTE_UNUSABLE = (
        "remote-unusable",
        "{remote} of node {node} cannot be used: {why}; try: rclone lsf {remote!q}",
    )
    """The service does not answer, or refuses the user; the text is from rclone."""
    REMOTE_UNKNOWN = "remote-unknown", "rclone cannot use {remote}: {why}"
    """The remote is not in rclone's configuration, or rclone is too old."""
    REMOTE_NOT_ATOMIC = (
        "remote-not-atomic",
        "{remote} of node {node} can neither store an object at once nor rename one, so that an upload that was cut off"
        " would look like a copy; use another service",
    )
    """Few services lack both."""
    REMOTE_FULL = "remote-full", "the service has no room left: {why}"
    """The text is from rclone."""
    NAME_NOT_FOR_RCLONE = (
        "name-not-for-rclone",
        "the name {path} {why}, and cannot be passed to rclone unchanged; copy the file to a node with a directory",
    )
    """Names are never altered."""
    NOT_DELIVERED = "not-delivered", "it was not stored: {why}"
    """The text is from rclone."""
    NOT_FETCHED = "not-fetched", "it did not arrive: {why}"
    """The text is from rclone."""
    OBJECT_NOT_REMOVED = "object-not-removed", "the object was not removed: {why}"
    """The text is from rclone."""
    OBJECT_UNREADABLE = "object-unreadable", "the object could not be read to its end"
    """Nothing is concluded about the copy."""
    OBJECT_STILL_THERE = "object-still-there", "the object is still there after its removal"
    """It is removed again in the next run."""
    OBJECT_VANISHED = "object-vanished", "the object is not there after it was stored"
    """The copy is not recorded."""
    OBJECT_CHANGED_BY_OWNER = (
        "object-changed-by-owner",
        "the object was written at {modified}, after the copy was last known to be good, and is not replaced; move it"
        " away, or remove it",
    )
    """There is no way to keep a changed object beside the new one."""
    STAGE_TOO_SMALL = (
        "stage-too-small",
        "a file of {size_b} bytes is fetched to {root} before it is stored, and {free_b} bytes are free there; make"
        " room there",
    )
    """The file is tried again; others that fit are pulled."""
    STAGE_FULL = (
        "stage-full",
        "the file system of {root}, where files are fetched before they are stored, has become full; make room there",
    )
    """Something else has used the bytes that were free; the node gets no more files in this run."""
    STAGE_ROOM_LOCKED = (
        "stage-room-locked",
        "{path}: another process has locked it for long; end that process",
    )
    """Workers agree there on the free bytes of the root's file system."""
    OBJECTS_NOT_SEARCHED = (
        "objects-not-searched",
        "node {node} keeps objects, which are not searched for new files (alpenhorn node modify {node!q}"
        " --no-auto-import)",
    )
    """Imports and auto-import are not available for objects."""

    # --- file systems and limits

    NAME_IMPOSSIBLE = (
        "name-impossible",
        "the file system of node {node} ({kind}) cannot store a file named {name!r}; rename the file, or"
        " keep it elsewhere",
    )
    """FAT, exFAT and NTFS do not allow every name."""
    NAME_TAKEN = (
        "name-taken",
        "the file system of node {node} ({kind}) does not distinguish {path!r} from {other!r}; rename one"
        " of the two, or keep one of them elsewhere",
    )
    """The file system ignores case, so one file would overwrite the other."""
    FILE_TOO_LARGE = (
        "file-too-large",
        "the file system of node {node} ({kind}) cannot store a file of {size_b} bytes; keep it elsewhere,"
        " or format the node's disk with exFAT or ext4",
    )
    """FAT stores only files of less than 4 GiB."""
    FOUND_UNDER_OTHER_NAME = (
        "found-under-other-name",
        "the file system lists it under another name, {listed!r}",
    )
    """The file system ignores case; the file is imported under the listed name."""
    LARGER_THAN_POSSIBLE = (
        "larger-than-possible",
        "the destination's file system, or the limit of the user running alpenhorn (ulimit -f), allows no file of that"
        " length",
    )
    """The write failed with EFBIG."""
    TOO_MANY_OPEN_FILES = (
        "too-many-open-files",
        "too many open files; raise the limit of the user running alpenhorn (ulimit -n), or of the system"
        " (fs.file-max)",
    )
    """A limit of this host; neither the source nor the destination is at fault."""

    # --- other hosts

    HOST_UNREACHABLE = "host-unreachable", "host {host} cannot be reached: {detail}"
    """ssh could not connect: the host is down, the address is wrong, or a firewall is in the way."""
    HOST_KEY_CHANGED = "host-key-changed", "host {host} has a different host key than before: {detail}"
    """The host was reinstalled, or another machine answers at its address."""
    HOST_KEY_UNKNOWN = "host-key-unknown", "host {host} has a host key that is not known here: {detail}"
    """Nobody has accepted the host's key for the user running alpenhorn."""
    HOST_REFUSES_LOGIN = "host-refuses-login", "host {host} refuses the login: {detail}"
    """The host accepts no key of the user running alpenhorn."""
    HOST_RESTRICTS_COMMANDS = (
        "host-restricts-commands",
        "host {host} does not allow that command with this key: {detail}",
    )
    """The key is restricted on the host, as with rrsync, to commands other than the one needed."""
    HOST_RESTRICTS_LOOK = (
        "host-restricts-look",
        "host {host} allows only rsync with this key, so its copies cannot be checked (delete_evidence ="
        ' "stat" needs a key that may run commands): {detail}',
    )
    """The key is restricted on the host, and checking copies before a deletion needs a shell there."""
    HOST_WITHOUT_RSYNC = "host-without-rsync", "host {host} has no rsync on the login's PATH: {detail}"
    """rsync is not installed there, or not on the PATH of a login without a terminal."""
    HOST_PRINTS_AT_LOGIN = (
        "host-prints-at-login",
        "host {host} prints text when a shell starts, which corrupts rsync's data; remove that from the login's"
        " start-up files ({detail})",
    )
    """A start-up file such as .bashrc writes to standard output without a terminal."""
    HOST_SESSION_FAILED = "host-session-failed", "the session with host {host} failed: {detail}"
    """ssh or the program that it started ended with an error."""
    CONNECTION_LOST = "connection-lost", "the connection to host {host} was lost: {detail}"
    """The session ended before all files had arrived."""
    HOST_WITHOUT_ADDRESS = (
        "host-without-address",
        "host {host} of node {node} has no address; set it with: alpenhorn host modify {host!q} --address …",
    )
    """Other hosts cannot reach the host."""
    HOST_WITHOUT_USERNAME = (
        "host-without-username",
        "host {host} of node {node} has no username; set it with: alpenhorn host modify {host!q} --username …",
    )
    """Other hosts cannot log in on the host."""
    HOST_ADDRESS_WRONG = (
        "host-address-wrong",
        "host {host}: {fault}; correct it with: alpenhorn host modify {host!q} --address …",
    )
    """The index holds an address that ssh could misread."""
    HOST_USERNAME_WRONG = (
        "host-username-wrong",
        "host {host}: {fault}; correct it with: alpenhorn host modify {host!q} --username …",
    )
    """The index holds a user name that ssh could misread."""
    TRANSFER_STALLED = (
        "transfer-stalled",
        "timed out: no data came from host {host} for {seconds:g} s (stall_timeout)",
    )
    """The session was ended because nothing arrived for stall_timeout; what had arrived is kept."""
    PULL_TIMED_OUT = "pull-timed-out", "timed out: the pull from host {host} did not end within {seconds:g} s"
    """The session was ended at the deadline of its job (pull_timeout_base, pull_bytes_per_second)."""
    RSYNC_TOO_OLD = (
        "rsync-too-old",
        "{rsync} is version {version}, but alpenhorn needs {oldest} or later; install a newer rsync",
    )
    """The rsync of this host lacks options that pulls use."""

    # --- ends of runs

    RUN_NO_NODE = "run-no-node", "no node of host {host} could be used"
    """The run did nothing; the reason for each node is printed beside it."""
    RUN_NODES_LOST = "run-nodes-lost", "every node was lost during the run"
    """Their storage became unavailable."""
    RUN_OUT_OF_TIME = "run-out-of-time", "the time limit was reached"
    """The rest is left for the next run."""
    RUN_NO_WORKERS = "run-no-workers", "the worker processes could not be started: {error}"
    """The system allows no more processes, or has no memory."""
    RUN_INDEX_LOST = "run-index-lost", "the connection to the index was lost: {error}"
    """The next run finds what was done after that."""
    RUN_SIGNAL = "run-signal", "terminated by {signal}"
    """A second signal, or one that does not ask for an orderly end."""
    RUN_NO_MEMORY = "run-no-memory", "out of memory"
    """The run's own process could get no more memory."""
    RUN_FAILED = "run-failed", "{error}"
    """An unexpected error; the log has the details."""
    MORE_FAILURES = "more-failures", "and {number} more failures, which the log of the run has"
    """The history has a limited number of failures of one run."""
    RUN_UNHEARD = "run-unheard", "its messages could not be printed: {error}"
    """Standard output or standard error was closed."""
    NOTIFICATION_FAILED = (
        "notification-failed",
        "notification by {channel} failed: {why}; to try it: alpenhorn notify test",
    )
    """A message or a ping was not delivered.  A message is repeated by the next run."""
    NOTIFY_STATE_UNUSABLE = (
        "notify-state-unusable",
        "{path}: what was notified cannot be kept here: {why}; until it can, every run notifies everything",
    )
    """Set XDG_STATE_HOME, or correct the permissions."""
    EARLIER_RUN_NOT_ENDED = (
        "earlier-run-not-ended",
        "run {run} on {host} did not end: it was killed, or the host went down; this run finishes its work",
    )
    """No end was recorded for the run, and its process is gone."""
    RUN_NOT_ENDED = "run-not-ended", "did not end: it was killed, or the host went down"
    """No end was recorded for the run, and its process is gone."""

    # --- locks and alpenhorn's own files

    OWN_LINK = (
        "own-link",
        "{path} is a symbolic link, which is not followed; find out who created it, and move it away",
    )
    """Its target may belong to someone else."""
    OWN_OTHER = "own-other", "{path} is not a {wanted}; find out who created it, and move it away"
    """One of alpenhorn's own files or directories is something else."""
    OWN_NAMES = (
        "own-names",
        "{path} has {names} names (hard links), so writing to it would change another file; find out who"
        " created them, and run: rm {path!q}",
    )
    """A hard link may be another user's trap."""
    OWN_STRANGER = (
        "own-stranger",
        "{path} belongs to user {user}, who does not own the root; find out who created it, and run: rm -r"
        " {path!q} (or, if it is legitimate: chown {me!q} {path!q})",
    )
    """Its owner could change what runs rely on."""
    OWN_OPEN = "own-open", "{path} is writable by every user; run: chmod o-w {path!q}"
    """Any user could change what runs rely on."""
    OWN_NOT_MADE = (
        "own-not-made",
        "cannot create {path}: {why}; the user running alpenhorn must be able to write to {root}",
    )
    """The root is full, or the user running alpenhorn has no permission."""
    OWN_READ_ONLY = "own-read-only", "cannot create {path}: {why}; mount its file system writable"
    """The file system of the node is mounted read-only."""
    IDENTITY_DAMAGED = (
        "identity-damaged",
        "the identity file {file} is damaged: {why}; delete it, and the next run treats the medium as a new"
        " one and reads every copy on it",
    )
    """The medium cannot be identified."""
    IDENTITY_TOO_NEW = (
        "identity-too-new",
        "{file} has version {version}, but this program supports only version 1; install a newer alpenhorn",
    )
    """A later version of alpenhorn has used the medium."""
    OTHER_MEDIUM_MEANWHILE = (
        "other-medium-meanwhile",
        "{root}: another medium was mounted there during the run; nothing was changed on it",
    )
    """The medium was exchanged during the run."""
    LOCK_FILE_WITHOUT_ROOT = (
        "lock-file-without-root",
        "{root} does not exist; is it mounted, and is the node's root correct?",
    )
    """The directory of a lock file is missing."""
    LOCK_FILE_READ_ONLY = (
        "lock-file-read-only",
        "cannot open the lock file {path}: {why}; mount its file system writable",
    )
    """The file system of the node is mounted read-only."""
    LOCK_FILE_NOT_OPENED = "lock-file-not-opened", "cannot open the lock file {path}: {why}"
    """Nothing is done on storage that cannot be locked."""
    LOCK_FILE_DENIED = (
        "lock-file-denied",
        "cannot open the lock file {path}: {why}; the user running alpenhorn must be able to write to this"
        " file and its directory; give the root to a group that all such users are in, and make it writable"
        " for that group",
    )
    """The file or its directory is read-only, or the user running alpenhorn has no permission."""
    LOCK_FILE_UNREADABLE = "lock-file-unreadable", "cannot access the lock file {path}: {why}"
    """Whether the lock still excludes other runs is unknown."""
    LOCK_FILE_REPLACED = (
        "lock-file-replaced",
        "{path} keeps being replaced and must stay in place; find out which program does it",
    )
    """A lock on a replaced file does not exclude other runs."""
    LOCKING_FAILED = "locking-failed", "cannot lock {path}: {why}"
    """The file system reported an error."""
    FILE_SYSTEM_WITHOUT_LOCKS = (
        "file-system-without-locks",
        "the file system of {path} does not support open file description locks ({why}), which nodes need;"
        " mount it with POSIX locks, or keep the node on another file system",
    )
    """Runs could not exclude each other there."""
    TREE_LOCK_TIMED_OUT = "tree-lock-timed-out", "{detail}"
    """Another process held the lock on the directory tree for too long."""
    ROOT_OPEN_TO_ALL = "root-open-to-all", "every user of this host can create files in {root}{whose}"
    """Any user of the host can change the data."""
    LOCK_FILE_OPEN = "lock-file-open", "other users can open {path} and hold its lock, which would block runs"
    """The permissions of a lock file are too wide."""
    LOCK_HANGS = (
        "lock-hangs",
        "its run lock {path} could not be taken within {seconds:g} s: its storage answers reads but not"
        " writes; check its disk or file server",
    )
    """The node is left out of the run."""
    LOCK_STUCK = (
        "lock-stuck",
        "process {pid} of an earlier run still hangs on its run lock {path} and cannot be killed: its"
        " storage answers reads but not writes; check its disk or file server",
    )
    """Each further run would leave another such process."""
    LOCK_LOST = "lock-lost", "the process that held its run lock {path} was killed"
    """The node is left out of the run."""
    LOCK_PROCESS_NOT_STARTED = (
        "lock-process-not-started",
        "cannot start a process for its run lock: {why}; raise the limit on this user's processes (ulimit -u)",
    )
    """The node is left out of the run; the others continue."""
    LOCK_NOT_TAKEN_AT_STOP = (
        "lock-not-taken-at-stop",
        "its run lock {path} was not taken before the run was asked to stop",
    )
    """SIGINT, SIGTERM or SIGHUP came first."""

    # --- shared roots and inodes

    NOT_SHARED = (
        "not-shared",
        "{path}: permission denied; users who run alpenhorn on the same root need a common group that can"
        " write to it (chgrp -R GROUP {root!q}; chmod -R g+rwX {root!q}; find {root!q} -type d -exec chmod g+s"
        " {{}} +)",
    )
    """A file created by another user's run cannot be read or written."""
    NO_INODES = (
        "no-inodes",
        "no room on {node}: its file system has {left} free inodes, and each file and directory needs one;"
        " delete or pack small files there, or create the file system again with more inodes (mke2fs -i)",
    )
    """A file system may have free space and yet no inodes for further files."""

    # --- conditions and retries

    NODE_LOST = "node-lost", "node {node}: {why}"
    """The node became unavailable, or was deactivated or edited, during the run."""
    NODE_BACK = "node-back", "node {node} is back, after {span}"
    """The node is worked on again."""
    HOST_SILENT = "host-silent", "{error}"
    """Nothing could be fetched from the host in this run."""
    SOURCE_UNSEEN = "source-unseen", "{error}"
    """The node's storage is not mounted on its host, or its objects cannot be read on this one."""
    STUCK = (
        "stuck",
        "another run has held {nodes} for {age} ({holder}); check that run, and end it if it hangs",
    )
    """A run that hangs keeps all others from these nodes."""
    HOST_BACK = "host-back", "host {host} answers again, after {span}"
    """Files are fetched from the host again."""
    OVER = "over", "resolved after {span}: {why}"
    """A condition has ended."""
    HOST_WAITS = (
        "host-waits",
        "host {host} could not be reached: {tries} failed attempts, the last at {last} UTC ({error}); next attempt at"
        " {next} UTC",
    )
    """No request tries the host before then; `request retry` ends the wait."""
    SOURCE_WAITS = (
        "source-waits",
        "node {node} of host {host} could not be read: {tries} failed attempts, the last at {last} UTC ({error}); next"
        " attempt at {next} UTC",
    )
    """No request tries the node before then; `request retry` ends the wait."""
    SOURCE_PROBED = "source-probed", "{source} did not answer before; another request tries it first"
    """All other requests for the source wait for the outcome."""

    # --- rows of the index and extensions

    ODD_VALUE = "odd-value", "{place}: {column} holds {value} instead of {kind}; correct the row in the index"
    """A column of the index holds a value of the wrong type, which SQLite allows."""


QUOTED = "!q}"  # the end of a field whose value is a word of a command


def quoted(value: str) -> str:
    """Return a value as a word of a command in a shell."""
    from shlex import quote  # 4 ms, and an idle run gives no advice

    return quote(value)


SUBJECTS = frozenset(
    (
        *(
            "acq",
            "column",
            "detector",
            "file",
            "group",
            "host",
            "name",
            "node",
            "overlap",
            "owner",
            "path",
            "place",
        ),
        *("root", "source", "where"),
    )
)
"""The fields that name a thing; other fields, such as numbers, differ from run to run."""


class Reason(str):
    """The text of a reason.  `about`: the nodes, hosts, files and other things that it names, "" if unknown."""

    __slots__ = ("about", "code")
    code: Code
    about: str

    def __new__(cls, text: str, code: Code, about: str = "") -> Reason:
        reason = super().__new__(cls, text)
        reason.code = code
        reason.about = about
        return reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Reason, (str(self), self.code, self.about)


Why = Reason | Literal[""]
"""A reason, or "" for none.  The type checker rejects other text, which would have no code."""


def code_of(why: str) -> Code:
    """Return the code of a reason, UNKNOWN for plain text from other programs."""
    return why.code if isinstance(why, Reason) else Code.UNKNOWN


def about(why: str, *more: str) -> str:
    """Return the things that a reason names.  `more`: things named before it in a longer text."""
    named = why.about if isinstance(why, Reason) else ""
    return ", ".join((*more, named) if named else more)


def code_in_json(why: str | None) -> str | None:
    """Return the code of a reason for a JSON document, None if there is no reason."""
    return str(code_of(why)) if why else None


def within(why: str, text: str) -> Reason:
    """Return the same reason with a longer text."""
    return Reason(text, code_of(why), about(why))


_COMMAND = re.compile(r"\balpenhorn [a-z][^;,()]*")


def named(why: str, file: str = "", node: str = "", request: int | None = None) -> Reason:
    """Return the same reason with names in place of FILE, NODE and ID in its commands.

    A reason of many files has none of their names, so that they make one line; this is for a place that knows them.
    """
    values = {"FILE": file, "NODE": node, "ID": "" if request is None else str(request)}
    known = {word: quoted(value) for word, value in values.items() if value}
    if not known or not _COMMAND.search(why):
        return from_outside(why)
    word = re.compile(rf"\b(?:{'|'.join(known)})\b")
    return within(why, _COMMAND.sub(lambda said: word.sub(lambda one: known[one[0]], said[0]), why))


def headed(head: str, why: str) -> Reason:
    """Return the same reason with `head` in front, as in "node x: why"."""
    return within(why, f"{head}: {why}")


def storable(why: Reason) -> Reason:
    """Return the same reason as text that logs and the index can store, whatever it quotes."""
    said = outside.text(why)
    return why if said is why else within(why, said)


def from_outside(text: str) -> Reason:
    """Return text that may come from an extension as a reason."""
    return text if isinstance(text, Reason) else Code.UNKNOWN(detail=text)


def recorded(text: str, code: str | None) -> Reason:
    """Return a reason from the index; rows of other versions may have an unknown code, or none."""
    try:
        return Reason(text, Code(code or ""))
    except ValueError:
        return Reason(text, Code.UNKNOWN)
