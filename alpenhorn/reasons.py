"""Why something is not done, failed, or needs attention: one enumeration, so that scripts need not read prose.

A reason is a string that also carries its code, so it goes wherever text goes: through the workers' pipes, into the
index and into JSON, where `why` is the text and `code` the member of the enumeration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from alpenhorn import outside

if TYPE_CHECKING:
    from enum import StrEnum as _Codes
else:

    class _Kind(type):
        """Makes members when they are asked for: enum would take 2 ms for so many at each start."""

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
            """Return the member of that code; raises ValueError when there is none."""
            name = code.upper().replace("-", "_")
            if name not in cls._waiting or code != cls._waiting[name][0]:
                raise ValueError(f"{code!r} is not a code")
            return getattr(cls, name)

    class _Codes(str, metaclass=_Kind):
        def __reduce__(self) -> tuple[Any, ...]:
            return type(self), (str(self),)


class Code(_Codes):
    """The value is the code that scripts see and never changes; `text` is what people read; the line below each member
    says what it means, for `alpenhorn/docs/reasons.md`.  The name is the value in capitals.

    Call a member with the values that its text names, to get the reason: `Code.SOURCE_INACTIVE(node="a")`.
    """

    text: str

    def __call__(self, **details: object) -> Reason:
        """Raises KeyError when a value is missing that the text names."""
        subjects = [str(value) for name, value in details.items() if name in SUBJECTS]
        return Reason(self.text.format(**details), self, ", ".join(subjects))

    # --- text from outside

    UNKNOWN = "unknown", "{detail}"
    """Text of another program, an extension, or an earlier version of this program."""

    # --- what the index says of a file

    FILE_ROW_GONE = "file-row-gone", "the file's row is gone from the index"
    """A request or copy names a file that the index does not have."""
    FILE_LENGTH_MISSING = (
        "file-length-missing",
        "the index has no length for the file, so that a copy could not be verified; to compute it: alpenhorn file"
        " modify FILE --from-copy NODE",
    )
    """Nothing is pulled that could not be verified afterwards."""
    FILE_MD5_MISSING = (
        "file-md5-missing",
        "the index has no MD5 sum for the file, so that a copy could not be verified; to compute it: alpenhorn file"
        " modify FILE --from-copy NODE",
    )
    """Nothing is pulled that could not be verified afterwards."""
    FILE_LENGTH_OR_MD5_MISSING = (
        "file-length-or-md5-missing",
        "the index has no length or no MD5 sum for the file; to compute them: alpenhorn file modify FILE --from-copy"
        " NODE",
    )
    """A copy cannot be checked without both."""
    FILE_LENGTH_OR_MD5_INVALID = (
        "file-length-or-md5-invalid",
        "the index has no valid length and MD5 sum for the file",
    )
    """The file's row holds values that no file can have."""
    PATH_UNSAFE = "path-unsafe", "{detail}"
    """An extension refuses a path."""
    PATH_IS_OURS = (
        "path-is-ours",
        "{path!r} is one of alpenhorn's own files, not a file of an acquisition",
    )
    """Names that begin with .alpenhorn, and the marker, are alpenhorn's own."""
    PATH_NOT_BELOW_ROOT = (
        "path-not-below-root",
        "{path!r} is no path below a root: an element is empty, '.' or '..', or holds a NUL",
    )
    """Such a path may lead out of its root."""
    PATH_NOT_ENCODABLE = "path-not-encodable", "{path!r} is not a name that a file can have here"
    """The name has characters that cannot be encoded as a file name."""
    PATH_IS_DIRECTORY = (
        "path-is-directory",
        "{path!r} is a directory, which a file cannot replace ({why}); move it away",
    )
    """A directory that is not empty lies where a file is to be put."""
    PATH_UNSAFE_IN_INDEX = "path-unsafe-in-index", "{detail}; correct the row in the index"
    """The index holds a name that cannot be a file's path below a root."""
    PATH_ELEMENT_TOO_LONG = (
        "path-element-too-long",
        "{path} has an element longer than {most} bytes",
    )
    """File systems cannot hold such a name."""
    SAME_PATH_AS_OTHER_FILE = (
        "same-path-as-other-file",
        "a file of acquisition {acq} lies at the same path on {node}, and would be overwritten; cancel the request, or"
        " remove one of the two files from the index",
    )
    """Two files of the index have the same path, and one of them is there already."""
    SAME_PATH_ARRIVING = (
        "same-path-arriving",
        "a file of another acquisition is being brought to the same path",
    )
    """Two files of the index have the same path, and the run brings the other one."""

    # --- requests

    WAITS_AFTER_FAILURE = "waits-after-failure", "waits after a failed attempt"
    """The time of the next attempt has not come; `request retry` ends the wait."""
    PULLED_BY_OTHER_RUN = "pulled-by-other-run", "being pulled by {run}"
    """Another run holds the claim on the file."""
    SOURCE_NOT_IN_INDEX = "source-not-in-index", "the source node is not in the index"
    """The request names a node that was removed."""
    SOURCE_INACTIVE = "source-inactive", "source node {node} is not active"
    """Nothing is pulled from a node that is not active."""
    SOURCE_ABSENT = "source-absent", "source node {node}: {why}"
    """The source is on this host and cannot be used."""
    SOURCE_UNUSABLE = "source-unusable", "source node {node}: {why}"
    """The settings of the source node are wrong, or its storage class cannot be loaded."""
    SOURCE_UNREACHABLE = "source-unreachable", "source node {node} cannot be reached from here: {why}"
    """The index lacks what other hosts need to reach the source."""
    SOURCE_UNMOUNTED = (
        "source-unmounted",
        "node {node} on host {host} is not mounted there, or is another storage: its marker {what}",
    )
    """The source's host answers, and the node's storage is not there."""
    SOURCE_NOT_READY = (
        "source-not-ready",
        "not ready to be read on {node} yet (a run on {host} sees to that)",
    )
    """The source copy is on tape."""
    SOURCE_COPY_SUSPECT = "source-copy-suspect", "the copy on {node} is to be checked first"
    """The request waits for the check of its source."""
    SOURCE_COPY_CORRUPT = "source-copy-corrupt", "the copy on {node} is corrupt"
    """The request is cancelled."""
    SOURCE_COPY_ABSENT = "source-copy-absent", "{node} does not have the file"
    """The request is cancelled."""
    GROUP_HAS_FILE = "group-has-file", "the group has the file already"
    """The request is cancelled, as there is nothing to do."""
    GROUP_COPY_SUSPECT = "group-copy-suspect", "the group's copy is to be checked first"
    """The request waits for the check of the copy in its group."""
    GROUP_WITHOUT_NODE = "group-without-node", "the group has no node on this host that can be worked on"
    """The request is for another host, or the group's node was left out."""
    GROUP_WITHOUT_DISK = "group-without-disk", "group {group} has no disk on this host"
    """No medium of a Transport group is here."""
    GROUP_TAKES_OWN_HOST_ONLY = (
        "group-takes-own-host-only",
        "group {group} takes files from its own host's nodes only, and {node} is on {host}",
    )
    """A Transport group is filled on the host of the source."""
    NO_NODE_TAKES_FILE = "no-node-takes-file", "{detail}"
    """Several nodes of the group could take the file, and each has its obstacle."""
    OTHER_REQUEST_BRINGS_FILE = "other-request-brings-file", "another request brings the same file"
    """Two requests want the same file in the same group."""
    DESTINATION_ABSENT = "destination-absent", "node {node}: {why}"
    """The destination cannot be worked on."""
    DESTINATION_TAKES_NO_MORE = "destination-takes-no-more", "{node} could not be written in this run"
    """An earlier pull of this run could not write at the destination."""
    DESTINATION_FULL = "destination-full", "no room on {node}: too little free space"
    """The file does not fit into what is free."""
    DESTINATION_ABOVE_MAX_TOTAL = (
        "destination-above-max-total",
        "no room on {node}: it would have more than its max_total",
    )
    """The file does not fit into the node's max_total."""
    DESTINATION_BELOW_MIN_AVAIL = (
        "destination-below-min-avail",
        "no room on {node}: it would have less free space than its min_avail",
    )
    """The file does not fit above the node's min_avail."""
    DESTINATION_SPACE_UNKNOWN = (
        "destination-space-unknown",
        "no room on {node}: its free space is not known",
    )
    """Space that is not known is not used."""
    FOREIGN_FILE_AT_PATH = (
        "foreign-file-at-path",
        "something else lies at its path on {node}, never recorded there as a good copy of the file, and is left"
        " alone; move it away or delete it, then: {then}",
    )
    """A file that the index does not know is in the way, and is nobody's to destroy."""

    # --- what happened to copies

    PULLED = "pulled", "request {request}: {method} from {node}"
    """A copy arrived for a request."""
    FILE_REGISTERED = "file-registered", "registered"
    """A new file was imported."""
    FILE_KNOWN_AND_SAME = "file-known-and-same", "compared with the index, same"
    """A file that the index knew was found on another node."""
    COPY_VERIFIED = "copy-verified", "read in full, MD5 equal"
    """A check found the copy good."""
    AUTOSYNC = "autosync", "autosync from {node} into {group}"
    """An edge of the topology requested the copy."""
    AUTOCLEAN = "autoclean", "autoclean, {group} has it"
    """An edge of the topology released the copy."""
    FOUND_AT_ITS_PATH = "found-at-its-path", "found at its path, not in the index"
    """A pull found something where the file was to be put; a check finds out what it is."""
    FILE_EDITED_WHILE_PULLED = (
        "file-edited-while-pulled",
        "its length or MD5 sum was changed in the index while it was pulled",
    )
    """What arrived is to be checked against the new values."""
    PULLED_UNDER_LOST_CLAIM = (
        "pulled-under-lost-claim",
        "pulled under a claim that had run out and is another run's or nobody's by now",
    )
    """The run was cut off from the index for too long; what arrived is to be checked."""
    RELEASED_COPY_GONE = "released-copy-gone", "released, and not on the node any more"
    """Somebody has removed a copy that was to be deleted."""
    FOUND_MISSING_IN_DOUBT = (
        "found-missing-in-doubt",
        "the node is whole again; this was found missing when it may not have been",
    )
    """The copy is looked for once more."""
    COPY_READY = "copy-ready", "it is on disk and can be read"
    """A copy came back from tape."""
    COPY_ON_TAPE_ONLY = "copy-on-tape-only", "it is on tape only"
    """A copy has left the disk."""
    LEFT_TO_TAPE = (
        "left-to-tape",
        "its space on disk was needed, or it was there only to be checked",
    )
    """A run gave a copy's disk space back."""
    NEITHER_ON_DISK_NOR_TAPE = "neither-on-disk-nor-tape", "it is neither on disk nor on tape"
    """A copy that the index calls good was not found."""
    LEFT_DISK_BEFORE_CHECK = (
        "left-disk-before-check",
        "it had left the disk again before it was checked",
    )
    """It is asked back from tape again."""

    # --- deletions

    COPY_STATE_CHANGED = "copy-state-changed", "its state was changed while it was looked at"
    """The next run decides anew."""
    COPY_RELEASED = "copy-released", "released"
    """The copy is deleted because somebody, or an autoclean edge, let it go."""
    COPY_REMOVED_FOR_ROOM = "copy-removed-for-room", "removed to make room"
    """The copy is removable, and its node has less free space than its min_avail."""
    COPY_GONE = "copy-gone", "it is not there any more"
    """There is nothing to delete."""
    COPY_WANTED = "copy-wanted", "it is wanted"
    """The copy was neither released nor made removable."""
    ARCHIVE_COPY_NOT_RELEASED = (
        "archive-copy-not-released",
        "from an archive node only what is released is deleted (alpenhorn file clean --now --archive-ok)",
    )
    """A removable copy never leaves an archive node."""
    COPY_NOT_GOOD = "copy-not-good", "only a good copy is deleted to make room"
    """A suspect or corrupt copy is checked or repaired first."""
    DELETION_WITHOUT_LENGTH = (
        "deletion-without-length",
        "the index has no length for the file, so that nobody can tell whether it is this file that would go; to"
        " compute it: alpenhorn file modify FILE --from-copy NODE",
    )
    """A file is deleted only if it has the length that the index knows."""
    DELETION_OF_FOREIGN_FILE = (
        "deletion-of-foreign-file",
        "what lies at its path is not the file and never was a good copy of it, so that it may be somebody else's;"
        " look at it, and remove or move it by hand",
    )
    """Only what once was a good copy is deleted."""
    DELETION_OF_SHARED_PATH = (
        "deletion-of-shared-path",
        "a file of acquisition {acq} lies at the same path, and would go with it; remove one of the"
        " two rows from the index",
    )
    """Two files of the index have the same path."""
    COPY_ROWS_DOUBLED = (
        "copy-rows-doubled",
        "the index has more than one row for this copy, so that the file would go and a row stay; remove all but"
        " one of them from the index",
    )
    """The index has two copies of one file on one node."""
    INDEX_OLDER_THAN_DISKS = (
        "index-older-than-disks",
        "the index is older than the disks ({restored}), so that nothing is deleted until they have been"
        " compared (run: alpenhorn reconcile)",
    )
    """The index was restored from a backup, or lost commits."""
    DELETED_BY_OTHER_RUN = "deleted-by-other-run", "it is being deleted by {run}"
    """Another run holds the claim on the copy."""
    COPY_PINNED = "copy-pinned", "{pinned} (release it with: alpenhorn file unpin)"
    """Somebody asked to keep the copy."""
    COPY_IS_SOURCE_OF_REQUEST = (
        "copy-is-source-of-request",
        "a pending request is still to pull from it (see: alpenhorn request list)",
    )
    """The copy goes when the request is done or cancelled."""
    COPY_WANTED_BY_REQUEST = (
        "copy-wanted-by-request",
        "a pending request wants the file in this node's group (see: alpenhorn request list)",
    )
    """What is deleted here would be brought again."""
    TOO_FEW_ARCHIVE_COPIES = (
        "too-few-archive-copies",
        "needs {needed} other good archive copies; has {left}{remedy}",
    )
    """Copies that count are good, and on distinct archive media that were lately seen to be right."""
    DELETE_LIMIT_EXCEEDED = (
        "delete-limit-exceeded",
        "nothing is deleted on {node}: more than {allowed:,} of its {copies:,} copies ({released:,} are released)"
        " could go now, and delete_limit lets one run delete no more; if that is meant:"
        " alpenhorn sync --node {node} --allow-mass-delete; if it is a mistake:"
        " alpenhorn node clean {node} --cancel",
    )
    """A mass deletion is more often a mistake than a wish."""

    REMOVAL_FAILED = "removal-failed", "cannot remove {path}: {why}"
    """The file system refused it."""
    REMOVAL_NOT_FLUSHED = "removal-not-flushed", "the removal cannot be flushed to the disk: {why}"
    """After a power cut the file may be there again, so it is not recorded as gone."""
    KEEPERS_NOT_AS_RECORDED = (
        "keepers-not-as-recorded",
        "too few of the other copies are as recorded: {failing}",
    )
    """The look just before the deletion found other copies missing or changed."""
    KEEPER_MISSING = "keeper-missing", "its copy is missing"
    """A copy because of which another one was to be deleted."""
    KEEPER_UNREACHABLE = "keeper-unreachable", "{why}"
    """The index lacks what is needed to reach the host of another copy."""
    KEEPER_NOT_LOOKED_AT = "keeper-not-looked-at", "its copy cannot be looked at: {why}"
    """A copy because of which another one was to be deleted."""

    # --- checks

    STORAGE_IN_DOUBT = (
        "storage-in-doubt",
        "{lost} of {looked} copies that were looked at are missing or unreadable, which is recorded of none of them"
        " (such as {example}); if its storage is not whole, mend or mount it; if they are lost, record it with:"
        " alpenhorn sync --node {node} --accept-loss",
    )
    """So many copies are lost at once that the storage is more likely not whole."""

    COPY_MISSING = "copy-missing", "there is no such file on the node"
    """The node is there and the file is not."""
    FILE_MISSING = "file-missing", "it is missing"
    """A node came back, and the file is not there any more."""
    COPY_NOT_REGULAR = "copy-not-regular", "it is not a regular file"
    """Something else lies at the copy's path."""
    COPY_IRREGULAR = "copy-irregular", "it is {found}, not a regular file"
    """A link, socket, device, named pipe or directory lies at the copy's path."""
    COPY_IRREGULAR_ON_NODE = (
        "copy-irregular-on-node",
        "{path} on node {node} is {found}, not a regular file",
    )
    """A link, socket, device, named pipe or directory lies at the copy's path, so that the copy is corrupt."""
    COPY_IS_SYMBOLIC_LINK = "copy-is-symbolic-link", "it is a symbolic link, which is not followed"
    """Something else lies at the copy's path."""
    SYMBOLIC_LINK_ON_PATH = (
        "symbolic-link-on-path",
        "{path}: {name} is a symbolic link, which is not followed",
    )
    """It may lead out of the node's root."""
    COPY_LENGTH_WRONG = "copy-length-wrong", "its length is {found} bytes, the index says {expected}"
    """The copy is corrupt, or it is another file."""
    COPY_MD5_WRONG = "copy-md5-wrong", "its MD5 sum is {found}, the index says {expected}"
    """The copy is corrupt, or it is another file."""
    COPY_UNREADABLE = "copy-unreadable", "cannot {doing} {path}: {why}"
    """That a copy cannot be read says nothing about its bytes."""
    COPY_NOT_LOOKED_AT = "copy-not-looked-at", "it cannot be looked at: {why}"
    """Whether the file is there is not known."""
    COPY_NOT_FLUSHED = "copy-not-flushed", "it cannot be flushed to the disk: {why}"
    """What was read may not be on the disk yet."""
    COPY_CHANGED_MEANWHILE = "copy-changed-meanwhile", "it was changed while it was being copied"
    """It keeps sharing its bytes for now; the next run tries again."""
    FILE_REPLACED_MEANWHILE = "file-replaced-meanwhile", "another file took its place a moment ago"
    """Somebody renamed a file to the path while it was looked at; it is left alone."""
    COPY_NEWER_THAN_MANIFEST = (
        "copy-newer-than-manifest",
        "it was written to after the manifest was",
    )
    """The node came back, and somebody has changed the file elsewhere."""

    # --- repairs

    GROUP_HAS_GOOD_COPY = (
        "group-has-good-copy",
        "its group has a good copy on {other}, so that nothing would be pulled; if none is needed on"
        " {node}: alpenhorn file state FILE {node} --set Absent",
    )
    """A group needs only one good copy."""
    REQUEST_PENDING = "request-pending", "a request is pending already; see: alpenhorn request show ID"
    """The repair is under way."""
    NO_GOOD_COPY = "no-good-copy", "there is no good copy on any other node"
    """The copy cannot be repaired."""
    NO_GOOD_COPY_IN_REACH = "no-good-copy-in-reach", "no good copy can be read now: {why}"
    """There are good copies, and each has its obstacle."""
    GOOD_COPY_NODE_INACTIVE = "good-copy-node-inactive", "{node} is not active"
    """An obstacle to a repair."""
    GOOD_COPY_NODE_UNREACHABLE = (
        "good-copy-node-unreachable",
        "{node} cannot be reached from {host}: {why}",
    )
    """An obstacle to a repair."""
    GROUP_NOT_IN_INDEX = (
        "group-not-in-index",
        "the group of node {node} is not in the index; put it into another one",
    )
    """The group's row was removed."""
    DESTINATION_INACTIVE = (
        "destination-inactive",
        "{node} is not active, so that nothing is pulled onto it: alpenhorn node activate {node}",
    )
    """Nothing is pulled onto a node that is not active."""
    DESTINATION_WITHOUT_HOST = (
        "destination-without-host",
        "{node} is on no host: alpenhorn node modify {node} --host HOST",
    )
    """No run works on a node without a host."""

    # --- imports

    FILE_NOT_REGISTERED = (
        "file-not-registered",
        "it is not registered in the index, and new files were not asked for",
    )
    """The import was not asked to register new files."""
    NO_IMPORT_PATTERN_MATCHES = "no-import-pattern-matches", "no import pattern matches"
    """None of the configured patterns names an acquisition."""
    NO_ACQUISITION_DIRECTORY = "no-acquisition-directory", "it is in no acquisition directory"
    """Without patterns the first directory is the acquisition."""
    NO_IMPORT_DETECTOR_CLAIMS_IT = "no-import-detector-claims-it", "no import detector claims it"
    """All detectors of installed packages declined."""
    DETECTOR_GAVE_WRONG_ACQUISITION = (
        "detector-gave-wrong-acquisition",
        "the import detector {detector} gave an acquisition that its path does not begin with",
    )
    """A package is wrong."""
    NAME_NEVER_IMPORTED = (
        "name-never-imported",
        "names that start with a dot, and {marker}, are never imported",
    )
    """Hidden files and our own are not data."""
    ACQUISITION_NAME_TOO_LONG = (
        "acquisition-name-too-long",
        "the acquisition's name is longer than {most} characters",
    )
    """The index cannot hold it."""
    FILE_NAME_TOO_LONG = "file-name-too-long", "the file's name is longer than {most} characters"
    """The index cannot hold it."""
    NAME_NOT_UTF8 = (
        "name-not-utf8",
        "the name is not valid UTF-8, so the index cannot hold it; rename the file",
    )
    """The index holds text, and the name is none."""
    NAME_TAKEN_FOR_ANOTHER = (
        "name-taken-for-another",
        "the index takes its name for that of another acquisition or file, since its collation does not compare byte"
        " for byte; see: alpenhorn db check",
    )
    """The collation of the index folds case or accents."""
    FILE_ROW_REMOVED_MEANWHILE = (
        "file-row-removed-meanwhile",
        "its row was removed from the index meanwhile; the next search takes it for a new file",
    )
    """Somebody edited the index while the file was hashed."""
    IMPORT_OF_SHARED_PATH = (
        "import-of-shared-path",
        "the index has a file of acquisition {acq} at the same path on this node; make the import patterns of all"
        " hosts agree on the acquisition",
    )
    """The path would be registered twice."""

    FOUND_FILE_GONE = "found-file-gone", "it was gone before it could be read"
    """Somebody removed the file after the search found it."""
    FOUND_FILE_GONE_BEFORE_LOOK = (
        "found-file-gone-before-look",
        "it was gone before it could be looked at",
    )
    """Somebody removed the file after the search found it."""
    FOUND_FILE_LOCKED = "found-file-locked", "its lock file is there"
    """Whoever writes the file has marked it as unfinished; it is taken in later."""
    FOUND_FILE_CHANGED_LATELY = "found-file-changed-lately", "it changed a moment ago"
    """The file may be unfinished; it is taken in later."""
    FOUND_FILE_CHANGING = "found-file-changing", "it changed while it was read"
    """The file is unfinished; it is taken in later."""
    FOUND_FILE_UNREADABLE = "found-file-unreadable", "cannot {doing} it: {why}"
    """The user running alpenhorn may not read it, or the disk fails."""
    FOUND_NOT_REGULAR = "found-not-regular", "it is not a regular file"
    """Links, sockets and devices are never imported."""
    SEARCHED_PATH_EMPTY = "searched-path-empty", "there is nothing at that path: {why}"
    """The request or listing names a path that is not there."""
    SEARCHED_PATH_UNREADABLE = "searched-path-unreadable", "cannot look at {path}: {why}"
    """The directory is closed to this user, or the disk fails."""
    IMPORT_OF_FILE_ON_TAPE = (
        "import-of-file-on-tape",
        "it is {where}; bring it back with: lfs hsm_restore {path}",
    )
    """No run waits for a tape."""
    PATH_OF_OTHER_NODE = "path-of-other-node", "it {how} {where}"
    """Files are imported by the node whose root they lie in."""
    DETECTORS_UNDECIDED = (
        "detectors-undecided",
        "the import detectors ({detectors}) do not tell whose it is: {why}",
    )
    """The file is imported once they do."""
    DETECTORS_HUNG = "detectors-hung", "they hung before, and are asked no more in this search"
    """Detectors of packages hung or crashed on several files."""
    DETECTOR_UNUSABLE = "detector-unusable", "the import detector {detector} of {origin}: {why}"
    """An installed package cannot be loaded."""
    DETECTOR_FAILED = "detector-failed", "the import detector {detector} failed: {why}"
    """A package raised an exception."""
    DETECTOR_GAVE_WRONG_ANSWER = (
        "detector-gave-wrong-answer",
        "the import detector {detector} gave {answer}, which is neither None nor a name nor (name, callback)",
    )
    """A package is wrong."""

    # --- comparisons of index and disk

    RECORDED_AS_GONE = "recorded-as-gone", "recorded as gone"
    """The file is there although the index says that it is not."""
    NOT_THE_COPY_THAT_IS_GONE = (
        "not-the-copy-that-is-gone",
        "the copy at this path is recorded as gone, and this file is not it: {why}",
    )
    """Another file lies where a copy was."""
    MODIFIED_AFTER_VERIFICATION = (
        "modified-after-verification",
        "modified after {moment} UTC, when it was last verified",
    )
    """The file may not be what was verified."""
    APPEARED_AFTER_RECORD = (
        "appeared-after-record",
        "it appeared after {moment} UTC, when that was recorded",
    )
    """Somebody put a file there later, so it is not taken for the copy."""
    DISK_FILE_NOT_REGULAR = "disk-file-not-regular", "not a regular file"
    """Something else lies at the copy's path."""
    DISK_FILE_LENGTH_WRONG = "disk-file-length-wrong", "length is {found} bytes, the index says {expected}"
    """The file is not what the index says."""
    NO_SUCH_FILE = "no-such-file", "no such file"
    """The copy is missing on the disk."""
    NO_SUCH_DIRECTORY = "no-such-directory", "no such directory"
    """The copy's directory is missing on the disk."""
    FILES_IN_DIRECTORY_UNREADABLE = "files-in-directory-unreadable", "cannot stat files in it: {why}"
    """Whether they are what the index says is not known."""
    FILE_STATUS_UNREADABLE = "file-status-unreadable", "cannot stat the file: {why}"
    """Whether it is what the index says is not known."""
    DIRECTORY_UNREADABLE = "directory-unreadable", "cannot list the directory: {why}"
    """What it holds is not known."""
    OTHER_NODES_ROOT = "other-nodes-root", "root of another node"
    """The directory has the marker of a node and is left out."""

    # --- tape

    FILE_NOT_ON_DISK_AND_TAPE = "file-not-on-disk-and-tape", "it is {where}"
    """Only the disk space of a file that is on tape too can be given back."""
    COPY_STAYS_ON_DISK = (
        "copy-stays-on-disk",
        "it was changed since it was brought to tape, or is to stay on disk",
    )
    """The file's disk space cannot be given back."""
    LOST_BY_TAPE = "lost-by-tape", "the tape has lost it, and it is not on disk"
    """The file is lost on this node."""
    LFS_REFUSED = "lfs-refused", "{why}"
    """What the program lfs said."""

    TAPE_COPY_DID_NOT_COME = (
        "tape-copy-did-not-come",
        "it was asked back from tape and did not come",
    )
    """It is asked for again later."""

    # --- transfers

    SOURCE_MISSING = "source-missing", "the source is missing: {why}"
    """There is no file at the source; its copy becomes suspect."""
    SOURCE_NOT_THERE = "source-not-there", "the source is not there"
    """There is no file at the source; its copy becomes suspect."""
    SOURCE_NOT_REGULAR = "source-not-regular", "the source is no regular file"
    """Something else lies at the source's path; its copy becomes suspect."""
    SOURCE_NOT_REGULAR_BECAUSE = (
        "source-not-regular-because",
        "the source is no regular file: {why}",
    )
    """Something else lies at the source's path; its copy becomes suspect."""
    SOURCE_NOT_SENT = (
        "source-not-sent",
        "the source is no regular file: rsync sent nothing for it",
    )
    """rsync leaves out what is no regular file; the source's copy becomes suspect."""
    SOURCE_UNREADABLE = "source-unreadable", "the source cannot be read: {why}"
    """That a file cannot be read says nothing about its bytes; tried again later."""
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
    SOURCE_CHANGED = "source-changed", "the source changed while it was being read"
    """Somebody writes to the source; its copy becomes suspect."""
    SOURCE_SHRANK = "source-shrank", "the source became shorter while it was being read"
    """Somebody writes to the source; its copy becomes suspect."""
    SOURCE_ROOT_ABSENT = "source-root-absent", "the root of the source is not there: {why}"
    """The storage of the source is not mounted on its host."""
    SOURCE_ROOT_UNREADABLE = (
        "source-root-unreadable",
        "the root {root} of the source node {node} cannot be opened: {why}",
    )
    """The storage of the source is not mounted on this host, or closed to this user."""
    SOURCE_NODE_UNUSABLE = "source-node-unusable", "the source node cannot be used: {why}"
    """A file is called missing only where its node is there."""
    SOURCE_NODE_UNUSABLE_HERE = (
        "source-node-unusable-here",
        "the source node {node} cannot be used: {why}",
    )
    """Where the source's files are cannot be told."""
    SOURCE_MARKER_NOT_ASKED_FOR = (
        "source-marker-not-asked-for",
        "the marker of the source was not asked for",
    )
    """It is not known whether the storage of the source is mounted on its host."""
    DESTINATION_UNWRITABLE = "destination-unwritable", "cannot write at the destination: {why}"
    """The node gets no more pulls in this run."""
    DESTINATION_OUT_OF_SPACE = (
        "destination-out-of-space",
        "cannot write at the destination: {why}",
    )
    """The disk, or a quota, is full; the node gets no more pulls in this run."""
    ARRIVED_MD5_WRONG = (
        "arrived-md5-wrong",
        "the source is right, but the bytes that arrived have the MD5 {found}",
    )
    """The destination stores other bytes than it was given."""
    FILE_NAME_IMPOSSIBLE = "file-name-impossible", "there can be no file of that name: {why}"
    """The destination's file system cannot hold the name."""
    PATH_OCCUPIED = "path-occupied", "something is at {path} already"
    """A file that the index does not know lies at the path; a check finds out what it is."""
    FILE_NOT_ON_DISK = "file-not-on-disk", "it is {where}"
    """It is on tape, and no run waits for a tape."""
    RSYNC_FAILED = "rsync-failed", "rsync ended with status {status}: {why}"
    """rsync(1) explains the status."""
    RSYNC_KILLED = "rsync-killed", "rsync was ended by signal {signal}"
    """Somebody, or the system, killed it."""
    BBCP_BROUGHT_NOTHING = "bbcp-brought-nothing", "bbcp brought nothing, and did not say why"
    """bbcp ended well and there is no file."""

    # --- nodes that are left out

    NODE_ON_OTHER_HOST = "node-on-other-host", "it is on host {there}, and this is {here}"
    """A node that was asked for by name belongs to another host."""
    NODE_INACTIVE = (
        "node-inactive",
        "it is not active; activate it with: alpenhorn node activate {node}",
    )
    """A node that was asked for by name is not active."""
    NODE_LOCKED_BY_RUN = "node-locked-by-run", "another run ({run}) is working on it"
    """Runs that overlap leave one another's nodes alone."""
    NODE_TAKEN_OFF = "node-taken-off", "it was taken off this host while the run went on"
    """Somebody deactivated or moved the node."""
    NODE_MOVED = (
        "node-moved",
        "it was given another host, root or medium while the run went on; what was done at the old place meanwhile is"
        " not recorded",
    )
    """Somebody edited the node."""
    ROOT_DID_NOT_ANSWER = (
        "root-did-not-answer",
        "{root} did not answer within {seconds:g} s: is its server or disk gone?",
    )
    """The storage hangs."""
    ROOT_SHARED = (
        "root-shared",
        "its root {root} is also the root of active node {others}, and each copy would count twice;"
        " see whose it is, and: alpenhorn node deactivate NODE",
    )
    """Two nodes have one directory."""
    COMPARISON_FAILED = "comparison-failed", "comparing its files with the index failed: {why}"
    """What nobody has seen is not relied on."""
    MANIFEST_COMPARISON_FAILED = (
        "manifest-comparison-failed",
        "its files could not be compared with the index: {why}",
    )
    """A node that came back is compared before it is relied on."""
    SAMPLE_FAILED = "sample-failed", "its other copies could not be looked at: {why}"
    """Before a loss is believed, some other copies are looked at."""
    IDENTITY_UNWRITABLE = (
        "identity-unwritable",
        "its identity file {file} cannot be written: {why}; without it nothing is changed there:"
        " make it writable, or give it room",
    )
    """The medium is full, read-only, or closed to this user."""
    INDEX_CHANGED_MEANWHILE = "index-changed-meanwhile", "the index was changed meanwhile"
    """Another program wrote what this run was about to confirm."""
    MEDIUM_NOT_LOOKED_AT = (
        "medium-not-looked-at",
        "its medium is {standing}, and no run has looked at it yet",
    )
    """Its copies do not count until a run has."""
    MEDIUM_OF_OTHER_NODE = (
        "medium-of-other-node",
        "the medium at {root} bears the identity of node {other}: it is a copy of that medium, or that medium"
        " itself; mount the right one, or, where this is to be a node of its own, remove {file}",
    )
    """A cloned disk, or one that is mounted at the wrong place."""
    MEDIUM_OF_OTHER_INDEX = (
        "medium-of-other-index",
        "the medium at {root} belongs to another index: mount the right one, or check which index this host uses;"
        " where the medium is to belong to this index from now on, remove {file}",
    )
    """Another archive's disk, or the configuration names the wrong index."""
    MEDIUM_BEHIND = (
        "medium-behind",
        "the medium of node {node} was {standing}: it is in an older state than the index knows",
    )
    """Its copies count once they were compared with the index."""
    MEDIUM_UNCONFIRMED = "medium-unconfirmed", "a run on node {node} ended before it changed anything"
    """Its copies count once they were compared with the index."""
    MEDIUM_AHEAD = (
        "medium-ahead",
        "node {node} was changed by runs of which the index knows nothing: the index was restored from a backup,"
        " or its server lost what it had confirmed",
    )
    """Nothing is deleted on the index until `alpenhorn reconcile` has compared its nodes."""
    MEDIUM_EXCHANGED = (
        "medium-exchanged",
        "the medium of node {node} is another one than the index knows, or was initialised anew",
    )
    """Its copies are suspect, and are read."""

    # --- what a plan would do

    BY_HARD_LINK = "by-hard-link", "hard link"
    """The file would be linked."""
    BY_COPY = "by-copy", "copy"
    """The file would be copied on this host."""
    BY_RSYNC = "by-rsync", "rsync"
    """The file would be copied on this host by rsync."""
    BY_RSYNC_OVER_SSH = "by-rsync-over-ssh", "rsync over ssh"
    """The file would be fetched from another host by rsync."""
    BY_BBCP = "by-bbcp", "bbcp"
    """The file would be fetched from another host by bbcp."""
    INITIALISATION_REQUESTED = "initialisation-requested", "initialise"
    """The node's root would be marked."""
    IMPORT_REQUESTED = "import-requested", "search and import"
    """An import request would be served."""
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
    """The copy would be deleted since its node is too full."""
    COMING_FROM_TAPE = "coming-from-tape", "on its way back from tape"
    """The copy was asked for and is looked for later."""
    ASKED_BACK_FROM_TAPE = "asked-back-from-tape", "ask back from tape, to {purpose}"
    """The copy would be asked for."""
    LEAVES_DISK_FOR_ROOM = "leaves-disk-for-room", "leave to tape, to make room on disk"
    """The copy's disk space would be given back."""
    NO_ROOM_TO_COME_FROM_TAPE = (
        "no-room-to-come-from-tape",
        "its disk has too little room (see the setting headroom)",
    )
    """The disk before the tape is too full."""
    NO_SUCH_REQUEST = "no-such-request", "there is no such request"
    """It was removed from the index."""
    REQUEST_NOT_PENDING = "request-not-pending", "it is not pending any more"
    """It was done or cancelled meanwhile."""
    GROUP_WITHOUT_NODE_ANYWHERE = (
        "group-without-node-anywhere",
        "its group has no active node on any host",
    )
    """No run can serve the request."""
    REQUEST_FOR_OTHER_HOST = (
        "request-for-other-host",
        "its group has no active node on this host; a run on {hosts} may serve it",
    )
    """Ask there."""

    # --- what a run tells at its end

    PULLS_FAILED = "pulls-failed", "pulls from {source} onto {node} failed"
    """Each is tried again; `request list --state failing` has the reasons."""
    SOURCE_ON_TAPE_ONLY = "source-on-tape-only", "not pulled yet: on tape only on {node}"
    """The copy is asked back."""
    COPIES_UNREADABLE = "copies-unreadable", "copies on {node} could not be read"
    """They are suspect until they can be."""
    FOUND_MISSING = "found-missing", "{verdict} on {node}"
    """A check found no file."""
    FOUND_CORRUPT = "found-corrupt", "{verdict} on {node}"
    """What was read is not the file that the index knows."""
    DELETION_CLAIMS_TOO_OLD = (
        "deletion-claims-too-old",
        "not deleted yet on {node}: the claims were too old when the worker came to the files",
    )
    """It is decided anew."""
    RELEASED_COPIES_GONE = (
        "released-copies-gone",
        "released copies on {node} were not there any more",
    )
    """Somebody else has removed them."""
    RELEASED_COPIES_CORRUPT = (
        "released-copies-corrupt",
        "released copies on {node} are not what the index says, and were left there as corrupt;"
        " look at them, and to delete them all the same: alpenhorn node clean {node} --now --include-bad -F LIST",
    )
    """Only what the index knows is deleted."""
    RELEASED_COPIES_KEPT = (
        "released-copies-kept",
        "released copies on {node} were left there, since too few other copies are as recorded",
    )
    """The look just before the deletion found other copies missing or changed."""
    DELETIONS_FAILED = "deletions-failed", "copies on {node} could not be deleted"
    """Each is tried again."""
    NODE_CAME_BACK_CHANGED = (
        "node-came-back-changed",
        "node {node} is not as it was when it was last seen here; what has changed on it counts as"
        " suspect until it was read",
    )
    """Somebody changed files while the node was away."""
    MANIFEST_NOT_WRITTEN = (
        "manifest-not-written",
        "the manifest of node {node} could not be written: {why}; {remedy}",
    )
    """The next run tries again."""
    MANIFEST_GONE = (
        "manifest-gone",
        "the manifest of node {node} is not on it any more: its files are compared with the index,"
        " and it is written anew",
    )
    """Somebody removed it, or the disk was restored."""
    NODE_SETTINGS_WARNING = "node-settings-warning", "{detail}"
    """The node's settings can be used, and are probably not meant so."""
    GROUP_SETTINGS_WARNING = "group-settings-warning", "{detail}"
    """The group's settings can be used, and are probably not meant so."""
    NODE_NOT_INITIALISED = "node-not-initialised", "node {node} could not be initialised: {why}"
    """The request stays pending."""
    ROOTS_NESTED = (
        "roots-nested",
        "{overlap}; give one of them another root; see: alpenhorn doctor",
    )
    """What is on the one node is found on the other."""
    HOST_NOT_IN_INDEX = (
        "host-not-in-index",
        "this host is called {host} here, and the index has no host of that name, so that runs do nothing; see:"
        " alpenhorn doctor",
    )
    """The host was renamed, or `sync.host` is wrong."""
    NODE_DIFFERS_FROM_INDEX = "node-differs-from-index", "node {node} differs from the index"
    """`alpenhorn reconcile` has listed how."""
    COPIES_ON_TAPE_NOT_READ = (
        "copies-on-tape-not-read",
        "node {node} has tape behind it; its good copies were not read",
    )
    """`--read` asks nothing back from tape."""
    SEARCH_NOT_REMEMBERED = (
        "search-not-remembered",
        "what was searched on {node} cannot be remembered, and is searched again in the next run",
    )
    """The node cannot be written."""
    SEARCH_INCOMPLETE = "search-incomplete", "the search on {node} is not complete"
    """Some directories could not be looked at; the next run looks again."""
    SEARCH_STOPS_AT_OTHER_NODE = "search-stops-at-other-node", "the search of node {node} stops at {where}"
    """Files are imported by the node whose root they lie in."""
    SHARED_BYTES_NOT_LOOKED_FOR = (
        "shared-bytes-not-looked-for",
        "the copies on {node} could not be looked at for shared bytes",
    )
    """They do not count as archive copies yet."""
    COPIES_SHARE_BYTES = (
        "copies-share-bytes",
        "copies on {node} share their bytes with other names and do not count as archive copies",
    )
    """They could not be given bytes of their own."""
    CLAIMS_RAN_OUT = (
        "claims-ran-out",
        "{claims} claims had run out before they were renewed: the run stood still, or the index was away",
    )
    """What was done under them may be another run's by now."""
    HEADROOM_LACKING = (
        "headroom-lacking",
        "node {node} has less free than its headroom, and nothing more can leave its disk now: what"
        " is there is wanted by pending requests, or not on tape yet",
    )
    """The disk before the tape is too full."""
    COPIES_NEITHER_ON_DISK_NOR_TAPE = (
        "copies-neither-on-disk-nor-tape",
        "copies on {node} are neither on disk nor on tape, and are checked",
    )
    """They may be lost."""
    TAPE_LOOK_FAILED = "tape-look-failed", "it cannot be told where files are on {node}"
    """lfs failed; the next run asks again."""
    TAPE_RESTORE_FAILED = "tape-restore-failed", "files cannot be had back from tape on {node}"
    """They are asked for again."""
    TAPE_LEAVE_FAILED = "tape-leave-failed", "files could not be left to the tape on {node}"
    """The disk before the tape stays as full as it is."""
    DETECTOR_CALLBACK_WITHHELD = (
        "detector-callback-withheld",
        "nothing was done for imported files by the import detector {detector}: {why}",
    )
    """The tables of the package cannot be used."""
    DETECTOR_CALLBACK_FAILED = (
        "detector-callback-failed",
        "{node}: what the import detector {detector} wanted done for imported files failed: {why}",
    )
    """A package raised an exception; the files are imported all the same."""

    # --- reconciliations

    DRY_RUN = "dry-run", "dry run; nothing was recorded"
    """As was asked for."""
    TOO_MANY_COPIES_MISSING = (
        "too-many-copies-missing",
        "{missing} of {looked} copies are missing (such as {example}); nothing"
        " was recorded; mount or repair the storage, or record the loss with: alpenhorn reconcile"
        " --node {node} --accept-loss",
    )
    """The storage is more likely not whole."""
    NODE_CHANGED_DURING_COMPARISON = (
        "node-changed-during-comparison",
        "the node was moved or deactivated during the comparison",
    )
    """Nothing was recorded."""
    COMPARISON_STOPPED = "comparison-stopped", "the run was stopped; {left} copies were not compared"
    """The node is not believed yet."""
    COMPARISON_INCOMPLETE = (
        "comparison-incomplete",
        "{left} of {expected} copies could not be compared",
    )
    """The node is not believed yet."""
    INDEX_CHANGED_DURING_COMPARISON = (
        "index-changed-during-comparison",
        "its copies changed in the index during the comparison; run it again",
    )
    """The node is not believed yet."""

    # --- what `status` tells

    DELETIONS_SUSPENDED = "deletions-suspended", "nothing is deleted on this index: {why}"
    """The index was restored from a backup, or lost commits; `alpenhorn reconcile` ends it."""
    NODE_LEFT_OUT = "node-left-out", "node {node} is left out: {why}"
    """The run does nothing on it."""
    NODE_LEFT_OUT_SINCE = (
        "node-left-out-since",
        "{node} was left out at {since}, and no run has found it right since: {why}",
    )
    """Its copies do not count for deletions."""
    COPIES_TO_BE_COMPARED = (
        "copies-to-be-compared",
        "the copies on {node} do not count until they were compared: {why}",
    )
    """The node's disk is not as the index left it."""
    COPIES_TO_BE_READ = "copies-to-be-read", "{copies} still to be read: {why} ({since})"
    """Runs read them; they count once they were found good."""
    FILES_WITHOUT_GOOD_COPY = (
        "files-without-good-copy",
        "{files} no good copy anywhere{more}: {example}",
    )
    """The files are lost unless a suspect or corrupt copy can be mended by hand."""
    BAD_COPIES_REPLACEABLE = (
        "bad-copies-replaceable",
        "{copies} on {node} can be replaced from a good one",
    )
    """`alpenhorn repair` requests them."""
    COPIES_CORRUPT = "copies-corrupt", "{copies} on {node}"
    """What lies there is not the file."""
    COPIES_MISSING = "copies-missing", "{copies} on {node}"
    """They are gone without alpenhorn's doing."""
    COPIES_SUSPECT = "copies-suspect", "{copies} on {node}"
    """The next run on the node's host reads them."""
    REQUESTS_FAILING = "requests-failing", "{requests} failing, put down to: {blame}"
    """Each is tried again, less and less often."""
    LAST_RUN_FAILED = (
        "last-run-failed",
        "the last run on {host}, of {started}, {how}",
    )
    """`alpenhorn history --run` shows what it did."""
    REQUESTED_FILES_UNVERIFIABLE = (
        "requested-files-unverifiable",
        "{files} no length or MD5 sum and cannot be copied{more}: {example}",
    )
    """The command beside it computes them from a copy."""
    REQUESTS_FOR_INACTIVE_NODE = (
        "requests-for-inactive-node",
        "{requests} for {node}, which is not active",
    )
    """No run serves them before it is."""
    ACTIVE_NODE_WITHOUT_HOST = "active-node-without-host", "{node} is active and has no host"
    """No run works on it."""
    ACTIVE_NODE_WITHOUT_ROOT = "active-node-without-root", "{node} is active and has no root"
    """No run works on it."""
    NODE_NOT_WORKED_ON = "node-not-worked-on", "no run has worked on {node} yet"
    """There is no cron line on its host, or it is new."""
    NODE_WITHOUT_ROOM = "node-without-room", "{node} has no room for more files"
    """Nothing is pulled onto it."""
    BACKUP_MISSING = "backup-missing", "the index has no backup"
    """`alpenhorn db backup` makes one."""
    BACKUP_OLD = "backup-old", "the newest backup of the index is {age} old: {path}"
    """`database.backup_within` is exceeded."""
    BACKUP_IN_FUTURE = (
        "backup-in-future",
        "the newest backup of the index is dated in the future: {path}",
    )
    """A clock was wrong."""

    # --- what `doctor` finds

    CONFIGURATION_WRONG = "configuration-wrong", "{detail}"
    """A configuration file cannot be used."""
    UNSEEN_NODES_TRUSTED = (
        "unseen-nodes-trusted",
        "trust_unseen = true in [sync]: copies on nodes that no run has seen let others be deleted",
    )
    """Meant for the time of a migration."""
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
    """Any user of the host can read the password of the index, if it is in there."""
    LOG_FILE_IS_DIRECTORY = "log-file-is-directory", "the log file {file} is a directory"
    """Runs cannot begin."""
    LOG_FILE_UNWRITABLE = "log-file-unwritable", "the log file {file} cannot be written"
    """Runs cannot begin."""
    LOG_DIRECTORY_MISSING = (
        "log-directory-missing",
        "the log file {file} cannot be made: there is no directory {directory}",
    )
    """Runs cannot begin."""
    LOG_DIRECTORY_UNWRITABLE = (
        "log-directory-unwritable",
        "the log file {file} cannot be made in its directory",
    )
    """Runs cannot begin."""
    SYSTEM_LOG_UNUSABLE = "system-log-unusable", "the system log {path} cannot be opened: {why}"
    """No system logger runs."""
    TOOL_MISSING = "tool-missing", "{tool} ({program}) {where}: {purpose}"
    """A program that runs need is not installed."""
    TOOL_HANGS = "tool-hangs", "{tool} ({path}) did not tell its version within {seconds:g} s"
    """A program that runs need does not answer."""
    TOOL_TOO_OLD = "tool-too-old", "{tool} does not take the options that pulls use: {said}"
    """A newer version is needed."""
    TOOL_FAILS = "tool-fails", "{tool} ({path}): {why}"
    """A program that runs need cannot be run."""
    INDEX_NOT_CONFIGURED = (
        "index-not-configured",
        "no index is configured, and the default one, {path}, is not there yet",
    )
    """The first command that needs it makes it."""
    INDEX_ON_NETWORK_FILE_SYSTEM = (
        "index-on-network-file-system",
        "the index {path} is on a network file system ({kind}), where SQLite's locks may not hold",
    )
    """Two hosts that write at once may damage it."""
    THIS_HOST_NOT_IN_INDEX = "this-host-not-in-index", "{detail}"
    """Runs on this host do nothing."""
    HOST_WITHOUT_ACTIVE_NODE = (
        "host-without-active-node",
        "host {host} has no active node, so runs here do nothing",
    )
    """There is nothing to work on."""
    NO_RUN_KNOWN = "no-run-known", "no run on {host} is known yet"
    """There is no cron line, or it is new."""
    LAST_RUN_LONG_AGO = "last-run-long-ago", "{detail}"
    """The cron line does not work any more."""
    LAST_RUN_KILLED = (
        "last-run-killed",
        "{run}, and did not end: killed or the machine went down; the next one finishes what it left",
    )
    """Somebody, or the system, killed it, or the host went down."""
    LAST_RUN_ENDED_WITH_FAILURES = (
        "last-run-ended-with-failures",
        "{run}, and ended with status {status}: {why}",
    )
    """`alpenhorn history --run` shows what it did."""
    HOSTS_NOT_ASKED = "hosts-not-asked", "not asked for want of rsync or ssh: {hosts}"
    """Whether files can be fetched from them is not known."""
    HOST_CANNOT_BE_REACHED = "host-cannot-be-reached", "{lacks}, so nothing can be fetched from it"
    """The index does not know where it is."""
    THIS_HOST_CANNOT_BE_REACHED = (
        "this-host-cannot-be-reached",
        "other hosts are to fetch files from this one, and {lacks}",
    )
    """The index does not tell them where it is."""
    HOST_DID_NOT_ANSWER = "host-did-not-answer", "host {host} did not answer within {seconds:g} s"
    """It is down, or something in its login shell waits."""
    NODE_MEDIUM_EXCHANGED = (
        "node-medium-exchanged",
        "node {node}: its medium is another one than the index knows, or was initialised anew",
    )
    """The next run makes its copies suspect and reads them."""
    NODE_MEDIUM_AHEAD = (
        "node-medium-ahead",
        "node {node}: the index is older than the disk: it knows nothing of the last runs on it",
    )
    """The index was restored from a backup, or lost commits."""
    NODE_MEDIUM_BEHIND = (
        "node-medium-behind",
        "node {node}: its medium is in an older state than the index knows; the next run compares it",
    )
    """The disk was restored or cloned."""
    NODE_NOT_RECONCILED = (
        "node-not-reconciled",
        "node {node}: its copies do not count until they were compared with the index",
    )
    """`alpenhorn reconcile` does that."""
    ROOTS_ALIKE = (
        "roots-alike",
        "{overlap}: each copy there would count twice, so runs leave both out when both look right",
    )
    """Two nodes have one directory."""
    ROOT_INSIDE_ROOT = (
        "root-inside-root",
        "{overlap}: searches for new files stop there, and nothing else keeps the two apart",
    )
    """One node lies in another one."""
    NODE_ON_NO_HOST = "node-on-no-host", "node {node} is active and on no host, so no run works on it"
    """The node was taken off its host and not deactivated."""
    GROUP_ROW_MISSING = "group-row-missing", "the group of node {nodes} is not in the index"
    """The group was removed from the index."""
    NODE_DID_NOT_ANSWER = (
        "node-did-not-answer",
        "node {node}: {root} did not answer within {seconds:g} s; runs leave the node out",
    )
    """The storage hangs."""
    ROOT_HAS_FORMER_NAME = (
        "root-has-former-name",
        "node {node}: {root} still bears its former name {former}; the next run mends that",
    )
    """The node was renamed."""
    NODE_UNWRITABLE = "node-unwritable", "node {node}: {why}"
    """The user running alpenhorn cannot write there."""
    NODE_WITHOUT_LOCKS = "node-without-locks", "node {node}: {why}"
    """The file system cannot lock files as runs need it."""
    ROOT_NOT_MARKED_YET = (
        "root-not-marked-yet",
        "node {node}: {root} is not marked yet; the next run does that",
    )
    """A request to initialise the node is pending."""
    ROOT_WITHOUT_MARKER = (
        "root-without-marker",
        "node {node}: {root} has no file {marker}, so it is not believed to be that node",
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
    TABLE_MISSING = "table-missing", "there is no table {table}"
    """The index was not made, or not upgraded."""
    COLUMN_MISSING = "column-missing", "the table {table} has no column {columns}"
    """The index was not upgraded."""
    INDEX_MISSING = "index-missing", "the table {table} has no {kind} on {columns}"
    """A query is slow, or a rule is not kept by the database."""
    EXTRA_INDEX_MISSING = (
        "extra-index-missing",
        "the table {table} has no index {index}: every run reads the whole table",
    )
    """Runs are slow."""
    TABLES_NOT_TRANSACTIONAL = (
        "tables-not-transactional",
        "these tables have neither transactions nor locks of rows: {tables}; two hosts that delete copies of a file at"
        " the same time may remove the last ones, and a run that is killed leaves half of what it recorded",
    )
    """The tables are in another engine than InnoDB."""
    SERVER_READ_ONLY = (
        "server-read-only",
        "the server is read-only ({settings}), as replicas are: runs can record nothing there, and what a replica says"
        " may be old, so that deletions would rest on copies that are gone",
    )
    """The URL of the index names a replica."""
    SERVER_FLUSHES_LATE = (
        "server-flushes-late",
        "the server does not flush every commit (innodb_flush_log_at_trx_commit = {value}): after a crash or power cut"
        " there the index may call copies good that were deleted in the last second or two",
    )
    """A crash of the server may lose commits."""
    SERVER_FLUSHES_BINLOG_LATE = (
        "server-flushes-binlog-late",
        "the server does not flush its binary log with every commit (sync_binlog = {value}): after a crash there,"
        " replicas and point-in-time restores lack commits, and call copies good that were deleted",
    )
    """A crash of the server may lose commits on its replicas."""
    SERVER_WITHOUT_DOUBLEWRITE = (
        "server-without-doublewrite",
        "the server writes pages without protection against half written ones (innodb_doublewrite is off): a power cut"
        " there may damage the index",
    )
    """Pages that are only half written cannot be restored."""
    COLLATION_FOLDS_NAMES = (
        "collation-folds-names",
        "names that differ only in case, accents or trailing blanks are one name, in {columns}",
    )
    """Two files may be taken for one."""
    COLLATION_IGNORES_BLANKS = (
        "collation-ignores-blanks",
        "names that differ only in trailing blanks are one name, in {columns}",
    )
    """Two files may be taken for one."""
    NAME_NOT_HELD = (
        "name-not-held",
        "the tables of the index cannot hold some character of its name; run `alpenhorn db upgrade`, which converts"
        " the tables to utf8mb4",
    )
    """The tables are in latin1 or utf8mb3; only that file is left out."""
    CHARACTER_SET_TOO_SMALL = (
        "character-set-too-small",
        "names with some characters are refused, and others may be one name though they differ, in {columns}",
    )
    """The tables are not in utf8mb4."""
    ROWS_WITHOUT_TARGET = "rows-without-target", "{count} {what}: they are left alone"
    """Rows of the index point to rows that are gone."""
    CLOCKS_DIFFER = "clocks-differ", "{detail}"
    """Leases of claims are judged by the server's clock."""

    # --- what packages bring

    PLUGIN_NAME_TAKEN = (
        "plugin-name-taken",
        "{others} offers the same name, so neither is taken: uninstall one of the packages",
    )
    """Two installed packages bring a part of one name."""
    PLUGIN_NAME_BUILT_IN = (
        "plugin-name-built-in",
        "alpenhorn has a class of that name itself, and takes its own",
    )
    """An installed package brings a storage class of a built-in name."""
    PLUGIN_NOT_LOADED = "plugin-not-loaded", "it cannot be loaded: {why}"
    """An installed package fails when it is imported."""
    PLUGIN_NOT_CALLABLE = "plugin-not-callable", "it is {kind}, and cannot be called"
    """An import detector must be callable."""
    PLUGIN_NOT_A_STORAGE_CLASS = "plugin-not-a-storage-class", "{detail}"
    """The object is not what the entry point promises."""
    PLUGIN_COMPONENT_UNUSABLE = "plugin-component-unusable", "{detail}"
    """The tables of a package cannot be used on this index."""

    # --- storage, programs and runs

    ROOT_ABSENT = (
        "root-absent",
        "the root {root} of node {node} is not there: mount it, or take the node off with:"
        " alpenhorn node deactivate {node}",
    )
    """There is no such directory."""
    ROOT_NOT_THERE = "root-not-there", "the root {root} is not there: is its storage mounted?"
    """The root disappeared while work on it went on."""
    ROOT_NOT_OPENED = (
        "root-not-opened",
        "the root {root} cannot be opened: {why}; is its storage mounted?",
    )
    """The root is missing, or closed to the user running alpenhorn."""
    ROOT_MOUNTED_OVER = "root-mounted-over", "something else was mounted at {root} meanwhile"
    """The directory at the root is not the one that was opened."""
    ROOT_NOT_ABSOLUTE = "root-not-absolute", "the root {root!r} is not an absolute path"
    """The node's row holds no usable root."""
    NODE_ROOT_NOT_ABSOLUTE = (
        "node-root-not-absolute",
        "the root {root!r} of node {node} is not an absolute path; correct it with: alpenhorn node modify {node}"
        " --root DIR",
    )
    """Other programs might take such a root for a host or an option."""
    ROOT_NAME_IMPOSSIBLE = (
        "root-name-impossible",
        "its root {root!r} is not a name that a directory can have",
    )
    """The root has characters that cannot be encoded as a file name."""
    STAGE_NAME_IMPOSSIBLE = "stage-name-impossible", "{name!r} cannot be the name of a stage"
    """A file is prepared in a directory below ROOT/.alpenhorn, whose name has no slash."""
    ROOT_NOT_MARKED = (
        "root-not-marked",
        "{root} has no file {marker}: either node {node} is not mounted there, or it was"
        " never initialised (alpenhorn node init {node})",
    )
    """An empty mount point looks like this."""
    ROOT_NOT_MOUNTED = (
        "root-not-mounted",
        "{root} has no file {marker}, which earlier runs have found there: mount the storage of node {node}; or, if"
        " another disk is to take its place: alpenhorn node init {node}",
    )
    """An empty mount point looks like this."""
    ROOT_OF_OTHER_NODE = (
        "root-of-other-node",
        "{root} belongs to node {other}, not to {node}: mount the right storage there, or"
        " correct the root with: alpenhorn node modify {node} --root DIR",
    )
    """The marker names another node."""
    ROOT_TAKEN = "root-taken", "{root} already belongs to node {other}; {node} needs another root"
    """A root is initialised for one node only."""
    MARKER_UNREADABLE = "marker-unreadable", "{file} cannot be read: {why}"
    """Whose storage it is cannot be told."""
    MARKER_IS_SYMBOLIC_LINK = (
        "marker-is-symbolic-link",
        "{file} is a symbolic link, which is not followed; put a file in its place",
    )
    """Whose storage it is cannot be told."""
    MARKER_NOT_REGULAR = "marker-not-regular", "{file} is not a regular file"
    """Whose storage it is cannot be told."""
    PATH_NOT_REGULAR = "path-not-regular", "{path} on node {node} is not a regular file"
    """Something else lies at a file's path."""
    NODE_WITHOUT_ROOT = (
        "node-without-root",
        "node {node} has no root; set it with: alpenhorn node modify {node} --root DIR",
    )
    """Nothing is known of where the node's files are."""
    SETTINGS_WRONG = "settings-wrong", "{detail}"
    """The io_config of a node or group cannot be used."""
    GROUP_WITH_SEVERAL_NODES = (
        "group-with-several-nodes",
        "group {group} has more than one active node on this host ({nodes}): deactivate all but one"
        " with: alpenhorn node deactivate NODE",
    )
    """It could not be told which one is to receive a file."""
    GROUP_NODES_WRONG = (
        "group-nodes-wrong",
        "group {group} needs exactly one active {name} node and one of another class on this host, and"
        " has {found}: see to that with: alpenhorn node activate NODE, alpenhorn node deactivate"
        " NODE",
    )
    """Large files go to the one, small ones to the other."""
    STORAGE_CLASS_UNKNOWN = (
        "storage-class-unknown",
        "there is no storage class {name}: this version knows {known}; install the package that brings it",
    )
    """The package is not installed on this host, or the name is misspelt."""
    STORAGE_CLASS_UNUSABLE = (
        "storage-class-unusable",
        "the storage class {name} of {origin} cannot be used: {why}",
    )
    """An installed package cannot be loaded."""
    STORAGE_CLASS_FOR_GROUPS = (
        "storage-class-for-groups",
        "the storage class {name} of node {node} is one for groups only",
    )
    """The node needs another class."""
    STORAGE_CLASS_FOR_NODES = (
        "storage-class-for-nodes",
        "the storage class {name} of group {group} is one for nodes only",
    )
    """The group needs another class."""
    STORAGE_CLASS_REFUSES = (
        "storage-class-refuses",
        "the storage class {name} refuses {owner}: {why}",
    )
    """A package raised an exception."""
    STORAGE_CLASS_FAILS = "storage-class-fails", "the storage class {name} fails for {owner}: {why}"
    """A package raised an exception, or gave an answer of the wrong type."""
    QUOTA_UNKNOWN = "quota-unknown", "the quota of node {node} cannot be had: {why}"
    """The program lfs failed."""
    QUOTA_IS_DEFAULT = (
        "quota-is-default",
        "the quota of node {node} is Lustre's default, of which lfs does not tell the limit; set it"
        " with: alpenhorn node modify {node} --io-var fixed_quota=KIB",
    )
    """Space that is not known is not used."""
    LFS_QUOTA_UNCLEAR = (
        "lfs-quota-unclear",
        "lfs quota gave an answer that is not understood: {answer!r}",
    )
    """The output of the program lfs has an unknown form."""
    LFS_ANSWER_UNCLEAR = (
        "lfs-answer-unclear",
        "{verb} on node {node}: lfs gave an answer that is not understood: {answer!r}",
    )
    """The output of the program lfs has an unknown form."""
    ROOT_UNREADABLE = "root-unreadable", "{root}: {why}"
    """A node's root cannot be looked at."""
    ROOT_NOT_INITIALISED = "root-not-initialised", "{root} cannot be initialised: {why}"
    """The marker could not be written."""
    OLD_MANIFEST_UNUSABLE = "old-manifest-unusable", "{why}"
    """The manifest that is there cannot be gone on with and is written anew."""
    SYSTEM_ERROR = "system-error", "{why}"
    """What the operating system said."""
    TASK_ENDED = "task-ended", "{fate}"
    """A worker's task came to nothing."""
    TASK_TIMED_OUT = "task-timed-out", "it did not end within {seconds:g} s and was killed"
    """The storage hangs, or is much slower than `timeout` allows."""
    WORKER_HANGS = "worker-hangs", "its worker hangs and cannot be killed"
    """It waits in the kernel for storage that does not answer."""
    WORKER_ENDED = "worker-ended", "its worker {how}"
    """Somebody, or the system for want of memory, killed it."""
    WORKER_FAILED = "worker-failed", "{why}"
    """An error in alpenhorn or an extension; the log has its trace."""
    OUTCOME_NOT_SENT = "outcome-not-sent", "its outcome cannot be sent: {why}"
    """An extension returned what cannot be sent between processes."""
    OUTCOME_UNREADABLE = "outcome-unreadable", "its outcome cannot be read: {why}"
    """An extension returned what cannot be read in another process."""

    STORAGE_UNUSABLE = "storage-unusable", "{detail}"
    """An extension's storage class reports that a storage cannot be used; the text says why."""
    PROGRAM_FAILED = "program-failed", "{detail}"
    """A program that alpenhorn ran ended with an error."""
    PROGRAM_TIMED_OUT = "program-timed-out", "{detail}"
    """A program that alpenhorn ran did not end in time and was killed."""
    PROGRAM_MISSING = "program-missing", "{program} is not on PATH; install it, or set its path"
    """A program that alpenhorn runs is not installed."""
    PROGRAM_NOT_STARTED = "program-not-started", "{program} cannot be started: {why}"
    """The system does not start a program: it is not executable, or there are too many processes."""
    PROGRAM_ANSWER_TOO_LONG = (
        "program-answer-too-long",
        "{program} gave an answer of more than {most} MiB",
    )
    """The program was killed, since its output was too long to be right."""
    PROGRAM_ARGUMENTS_IMPOSSIBLE = (
        "program-arguments-impossible",
        "{program} cannot be given these arguments: {why}",
    )
    """An argument holds a NUL."""
    WORKER_NOT_STARTED = (
        "worker-not-started",
        "no worker process can be started: {why}; raise the limit on this user's processes (ulimit -u)",
    )
    """No worker was left, and the system starts no new process."""
    RUN_STOPPED = "run-stopped", "the run was asked to stop"
    """SIGINT, SIGTERM or SIGHUP; the next run goes on."""

    # --- file systems and limits

    NAME_IMPOSSIBLE = (
        "name-impossible",
        "the file system of node {node} ({kind}) cannot hold a file called {name!r}; rename the file, or keep it"
        " elsewhere",
    )
    """FAT, exFAT and NTFS do not take every name."""
    NAME_TAKEN = (
        "name-taken",
        "the file system of node {node} ({kind}) takes {path!r} and {other!r} for one name; rename one of the two, or"
        " keep one of them elsewhere",
    )
    """The file system ignores case, so that one file would overwrite the other."""
    FILE_TOO_LARGE = (
        "file-too-large",
        "the file system of node {node} ({kind}) cannot hold a file of {size_b} bytes; keep it elsewhere, or format the"
        " node's disk with exFAT or ext4",
    )
    """FAT holds files of less than 4 GiB."""
    FOUND_UNDER_OTHER_NAME = (
        "found-under-other-name",
        "the file system finds it under another name, {listed!r}",
    )
    """The file system ignores case; the file is imported under the name that it is listed by."""
    LARGER_THAN_POSSIBLE = (
        "larger-than-possible",
        "the destination's file system, or the limit of the user running alpenhorn (ulimit -f), allows no file of that"
        " length",
    )
    """The write failed with EFBIG."""
    TOO_MANY_OPEN_FILES = (
        "too-many-open-files",
        "too many open files: raise the limit of the user running alpenhorn (ulimit -n), or of the system"
        " (fs.file-max)",
    )
    """A limit of this host; neither the source nor the destination is at fault."""

    # --- other hosts

    HOST_UNREACHABLE = "host-unreachable", "host {host} cannot be reached: {detail}"
    """ssh could not connect: the host is down, the address is wrong, or a firewall is in the way."""
    HOST_KEY_CHANGED = "host-key-changed", "host {host} shows another host key than before: {detail}"
    """The host was installed anew, or another machine answers at its address."""
    HOST_KEY_UNKNOWN = "host-key-unknown", "host {host} has a host key that is not known here: {detail}"
    """Nobody has accepted the host's key for the user running alpenhorn."""
    HOST_REFUSES_LOGIN = "host-refuses-login", "host {host} refuses the login: {detail}"
    """The host accepts no key of the user running alpenhorn."""
    HOST_RESTRICTS_COMMANDS = (
        "host-restricts-commands",
        "host {host} does not allow that command with this key: {detail}",
    )
    """The key is restricted on the host, as with rrsync, to other commands than the one that was needed."""
    HOST_RESTRICTS_LOOK = (
        "host-restricts-look",
        'host {host} allows only rsync with this key, so that its copies cannot be looked at (delete_evidence = "stat"'
        " takes a key that may run commands): {detail}",
    )
    """The key is restricted on the host, and looking at copies before a deletion takes a shell there."""
    HOST_WITHOUT_RSYNC = "host-without-rsync", "host {host} has no rsync on the login's PATH: {detail}"
    """rsync is not installed there, or not where a login without a terminal looks."""
    HOST_PRINTS_AT_LOGIN = (
        "host-prints-at-login",
        "host {host} prints text when a shell starts, which corrupts rsync's data; remove that from the login's"
        " start-up files ({detail})",
    )
    """A start-up file such as .bashrc writes to standard output without a terminal."""
    HOST_SESSION_FAILED = "host-session-failed", "the session with host {host} failed: {detail}"
    """ssh or the program that it started ended with an error."""
    CONNECTION_LOST = "connection-lost", "the connection to host {host} broke: {detail}"
    """The session ended before all files had arrived."""
    HOST_WITHOUT_ADDRESS = (
        "host-without-address",
        "host {host} of node {node} has no address; set it with: alpenhorn host modify {host} --address …",
    )
    """Other hosts cannot reach the host."""
    HOST_WITHOUT_USERNAME = (
        "host-without-username",
        "host {host} of node {node} has no username; set it with: alpenhorn host modify {host} --username …",
    )
    """Other hosts cannot log in on the host."""
    HOST_ADDRESS_WRONG = (
        "host-address-wrong",
        "host {host}: {fault}; correct it with: alpenhorn host modify {host} --address …",
    )
    """The index holds an address that ssh could take for something else."""
    HOST_USERNAME_WRONG = (
        "host-username-wrong",
        "host {host}: {fault}; correct it with: alpenhorn host modify {host} --username …",
    )
    """The index holds a user name that ssh could take for something else."""
    TRANSFER_STALLED = (
        "transfer-stalled",
        "timed out: no data came from host {host} for {seconds:g} s (stall_timeout)",
    )
    """The session was ended since nothing had arrived for stall_timeout; what had arrived is kept."""
    PULL_TIMED_OUT = "pull-timed-out", "timed out: the pull from host {host} did not end within {seconds:g} s"
    """The session was ended at the deadline of its job (pull_timeout_base, pull_bytes_per_second)."""
    RSYNC_TOO_OLD = (
        "rsync-too-old",
        "{rsync} is version {version}, and alpenhorn needs {oldest} or later; install a newer rsync",
    )
    """The rsync of this host lacks options that pulls use."""

    # --- how runs end

    RUN_NO_NODE = "run-no-node", "no node of host {host} could be worked on"
    """The run did nothing; each node's reason is told beside it."""
    RUN_NODES_LOST = "run-nodes-lost", "every node was lost while the run went on"
    """Their storages went away one after the other."""
    RUN_OUT_OF_TIME = "run-out-of-time", "the time limit was reached"
    """The rest is left for the next run."""
    RUN_NO_WORKERS = "run-no-workers", "the worker processes could not be started: {error}"
    """The system allows no more processes, or has no memory."""
    RUN_INDEX_LOST = "run-index-lost", "the index was lost: {error}"
    """What was done since is found by looking in the next run."""
    RUN_SIGNAL = "run-signal", "ended at once by {signal}"
    """A second signal, or one that asks for no clean end."""
    RUN_NO_MEMORY = "run-no-memory", "out of memory"
    """The run's own process could get no more memory."""
    RUN_FAILED = "run-failed", "{error}"
    """An error that nothing else caught; the log has the details."""
    RUN_UNHEARD = "run-unheard", "its messages could not be printed: {error}"
    """Standard output or standard error was closed."""
    EARLIER_RUN_NOT_ENDED = (
        "earlier-run-not-ended",
        "run {run} on {host} did not end: killed or the machine went down; what it left is finished by this run",
    )
    """Nothing was recorded at its end, and its process is gone."""
    RUN_NOT_ENDED = "run-not-ended", "did not end: killed or the machine went down"
    """Nothing was recorded at its end, and its process is gone."""

    # --- locks and our own files

    OWN_LINK = (
        "own-link",
        "{path} is a symbolic link, which is not followed; find out who made it, and move it away",
    )
    """What it leads to is somebody else's."""
    OWN_OTHER = "own-other", "{path} is not a {wanted}; find out who made it, and move it away"
    """One of alpenhorn's own files or directories is something else."""
    OWN_NAMES = (
        "own-names",
        "{path} has {names} names (hard links), and writing to it would change the file of that other name; find out"
        " who made them, and run: rm {path}",
    )
    """A hard link may be another user's trap."""
    OWN_STRANGER = (
        "own-stranger",
        "{path} belongs to user {user}, to whom the root does not; find out who made it, and run: rm -r {path} (or,"
        " when it is right: chown {me} {path})",
    )
    """Its owner could change what runs believe."""
    OWN_OPEN = "own-open", "{path} can be written by every user; run: chmod o-w {path}"
    """Every user could change what runs believe."""
    OWN_NOT_MADE = (
        "own-not-made",
        "cannot make {path}: {why}; the user running alpenhorn must be able to write to {root}",
    )
    """The root is full, or closed to the user running alpenhorn."""
    OWN_READ_ONLY = "own-read-only", "cannot make {path}: {why}; mount its file system writable"
    """The file system of the node is mounted read-only."""
    IDENTITY_DAMAGED = (
        "identity-damaged",
        "the identity file {file} is damaged: {why}; remove it, and the next run takes the medium for another one and"
        " reads every copy on it",
    )
    """Which medium it is cannot be told."""
    IDENTITY_TOO_NEW = (
        "identity-too-new",
        "{file} is of version {version}, and this program knows version 1: install a newer alpenhorn",
    )
    """A later version of alpenhorn has used the medium."""
    OTHER_MEDIUM_MEANWHILE = (
        "other-medium-meanwhile",
        "{root}: another medium was mounted there meanwhile; nothing was changed on it",
    )
    """The medium was exchanged during the run."""
    LOCK_FILE_WITHOUT_ROOT = (
        "lock-file-without-root",
        "{root} is not there: is it mounted, and is the node's root right?",
    )
    """The directory of a lock file is missing."""
    LOCK_FILE_READ_ONLY = (
        "lock-file-read-only",
        "cannot open the lock file {path}: {why}; mount its file system writable",
    )
    """The file system of the node is mounted read-only."""
    LOCK_FILE_NOT_OPENED = "lock-file-not-opened", "cannot open the lock file {path}: {why}"
    """Nothing is done on a storage that cannot be locked."""
    LOCK_FILE_DENIED = (
        "lock-file-denied",
        "cannot open the lock file {path}: {why}; the user running alpenhorn must be able to write to this file and its"
        " directory: give the root to a group in which all of them are, and make it writable for that group",
    )
    """The file or its directory is closed to the user running alpenhorn, or read-only."""
    LOCK_FILE_UNREADABLE = "lock-file-unreadable", "cannot look at the lock file {path}: {why}"
    """Whether the lock still excludes other runs is unknown."""
    LOCK_FILE_REPLACED = (
        "lock-file-replaced",
        "{path} is replaced again and again: find out by what; it must stay in place",
    )
    """A lock on a replaced file excludes nobody."""
    LOCKING_FAILED = "locking-failed", "cannot lock {path}: {why}"
    """The file system reported an error."""
    FILE_SYSTEM_WITHOUT_LOCKS = (
        "file-system-without-locks",
        "the file system of {path} has no open-file-description locks ({why}); a node needs them: mount it with POSIX"
        " locks, or keep the node on another file system",
    )
    """Runs could not exclude each other there."""
    TREE_LOCK_TIMED_OUT = "tree-lock-timed-out", "{detail}"
    """Another process held the lock on the directory tree for too long."""
    ROOT_OPEN_TO_ALL = (
        "root-open-to-all",
        "every user of this host can put files into {root}{whose}",
    )
    """Any user of the host can change what is archived."""
    LOCK_FILE_OPEN = (
        "lock-file-open",
        "other users can open {path}, and so hold its lock, for which runs would wait",
    )
    """The permissions of a lock file are too wide."""
    LOCK_HANGS = (
        "lock-hangs",
        "its run lock {path} could not be taken within {seconds:g} s: its storage answers reads and no writes; see"
        " whether its disk or file server is in order",
    )
    """The node is left out of the run."""
    LOCK_STUCK = (
        "lock-stuck",
        "process {pid} of an earlier run still hangs on its run lock {path} and cannot be killed: its storage answers"
        " reads and no writes; see whether its disk or file server is in order",
    )
    """Each further run would leave one more."""
    LOCK_LOST = "lock-lost", "the process that held its run lock {path} was killed"
    """The node is left out of the run."""
    LOCK_PROCESS_NOT_STARTED = (
        "lock-process-not-started",
        "no process can be started for its run lock: {why}; raise the limit on this user's processes (ulimit -u)",
    )
    """The node is left out of the run; the others continue."""
    LOCK_NOT_TAKEN_AT_STOP = (
        "lock-not-taken-at-stop",
        "its run lock {path} had not been taken when the run was asked to stop",
    )
    """SIGINT, SIGTERM or SIGHUP came first."""

    # --- shared roots and inodes

    NOT_SHARED = (
        "not-shared",
        "{path}: permission denied; where several users run alpenhorn on one root, all of them need a common"
        " group that may write to it (chgrp -R GROUP {root}; chmod -R g+rwX {root}; find {root} -type d -exec chmod g+s"
        " {{}} +)",
    )
    """What another user's run made cannot be read or written by this one."""
    NO_INODES = (
        "no-inodes",
        "no room on {node}: its file system has {left} free inodes, of which each file and directory takes one; delete"
        " or pack small files there, or make the file system anew with more inodes (mke2fs -i)",
    )
    """A file system with room for bytes may have none for further files."""

    # --- what lasts, and hosts and nodes that are tried again

    NODE_LOST = "node-lost", "node {node}: {why}"
    """The node was worked on, and went away or was taken away meanwhile."""
    NODE_BACK = "node-back", "node {node} is back, after {span}"
    """The node is worked on again."""
    HOST_SILENT = "host-silent", "{error}"
    """Nothing could be fetched from the host in this run."""
    SOURCE_UNSEEN = "source-unseen", "{error}"
    """The host answers, and the node's storage is not there."""
    STUCK = (
        "stuck",
        "another run has held {nodes} for {age} ({holder}); see there what it does, and end it if it hangs",
    )
    """A run that hangs keeps all others from these nodes."""
    HOST_BACK = "host-back", "host {host} answers again, after {span}"
    """Files are fetched from the host again."""
    OVER = "over", "no longer, after {span}: {why}"
    """What lasted is no longer so."""
    HOST_WAITS = (
        "host-waits",
        "host {host} could not be reached: {tries} failed attempts, the last at {last} UTC ({error}); next attempt at"
        " {next} UTC",
    )
    """No request tries the host before that; `request retry` ends the wait."""
    SOURCE_WAITS = (
        "source-waits",
        "node {node} was not found on its host {host}: {tries} failed attempts, the last at {last} UTC; next attempt at"
        " {next} UTC",
    )
    """No request tries the node before that; `request retry` ends the wait."""
    SOURCE_PROBED = (
        "source-probed",
        "{source} did not answer before; another request tries first whether it does",
    )
    """All others wait for the outcome."""

    # --- rows of the index and extensions

    ODD_VALUE = "odd-value", "{place}: {column} holds {value} instead of {kind}; correct the row in the index"
    """A row of the index whose column has a value of the wrong type, which SQLite keeps."""


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
"""The values in texts that name a thing; the others, such as numbers, differ from run to run."""


class Reason(str):
    """The text of a reason; `code` says which one it is, `about` names the nodes, hosts, files and so on that it
    concerns, "" where it is not known."""

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
"""A reason, or "" where there is none.  A type checker refuses other text, so that no reason lacks its code."""


def code_of(why: str) -> Code:
    """Return the code of a reason; of plain text, which came from outside, UNKNOWN."""
    return why.code if isinstance(why, Reason) else Code.UNKNOWN


def about(why: str, *more: str) -> str:
    """Name what a reason concerns; `more`: things that stand in front of it in a longer text."""
    named = why.about if isinstance(why, Reason) else ""
    return ", ".join((*more, named) if named else more)


def code_in_json(why: str | None) -> str | None:
    """The code beside a reason in a JSON document, None where there is no reason."""
    return str(code_of(why)) if why else None


def within(why: str, text: str) -> Reason:
    """The same reason in a longer text, which says of what it is the reason."""
    return Reason(text, code_of(why), about(why))


def headed(head: str, why: str) -> Reason:
    """The same reason after what it is the reason for."""
    return within(why, f"{head}: {why}")


def storable(why: Reason) -> Reason:
    """The same reason in text that a log and an index can hold, whatever it quotes."""
    said = outside.text(why)
    return why if said is why else within(why, said)


def from_outside(text: str) -> Reason:
    """Return text that may be a reason, and may come from an extension, as a reason."""
    return text if isinstance(text, Reason) else Code.UNKNOWN(detail=text)


def recorded(text: str, code: str | None) -> Reason:
    """Return a reason as the index has it; rows of earlier and later versions may have no code that is known."""
    try:
        return Reason(text, Code(code or ""))
    except ValueError:
        return Reason(text, Code.UNKNOWN)
