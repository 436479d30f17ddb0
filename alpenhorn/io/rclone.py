"""The storage class Rclone: objects of any service that the program rclone can use."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.fs.placing import PRIVATE
from alpenhorn.io.base import PROBE_SECONDS, StorageClass, wrong_setting
from alpenhorn.io.default import DefaultRemote
from alpenhorn.io.objects import Effort, ObjectNode, SeenObject
from alpenhorn.model.nodes import MANIFEST, NodeFact
from alpenhorn.reasons import Code, Why, quoted
from alpenhorn.transfer import rclone
from alpenhorn.transfer.rclone import Answer, Program

CALL_SECONDS = PROBE_SECONDS - 5  # of a call for one of alpenhorn's own small objects
MOST_OWN_B = 4096
INCOMING = f"{PRIVATE}/incoming"
# A remote of the configuration.  One that is made up on the command line would show its password there.
_REMOTE = re.compile(r"[A-Za-z0-9_.+@][A-Za-z0-9_.+@ -]*:[^\0\n]*")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class RemoteAbilities(NamedTuple):
    """What rclone can do on a remote.

    `md5`: it returns MD5 sums without reading the objects here.  `atomic`: a new object appears whole.  `moves`: the
    service can rename an object.
    """

    md5: bool
    atomic: bool
    moves: bool


class RcloneNode(ObjectNode):
    """Objects below a path of a remote in rclone's configuration.

    Settings: `remote` (`NAME:PATH`, required), `rclone` (the program, or a list of it and its options; default
    `rclone`), `config` (the absolute path of rclone's configuration; default rclone's own), `verify` (`auto`, the
    default: by the MD5 sums of the service where it has any; `read`: always by reading the objects), `space`
    (`unlimited`, the default: every file fits; `about`: `rclone about` tells the free space), `jobs` (a whole
    number ≥ 1; default no limit), `bwlimit` (as for Default).
    """

    known = frozenset({"remote", "rclone", "config", "verify", "space", "jobs", "bwlimit"})

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        remote = settings.get("remote")
        if not isinstance(remote, str) or not _REMOTE.fullmatch(remote):
            raise self._wrong("remote", "NAME:PATH with the name of a remote in rclone's configuration")
        self._remote = remote
        argv = settings.get("rclone", "rclone")
        argv = [argv] if isinstance(argv, str) else argv
        if not isinstance(argv, list) or not argv or not all(isinstance(one, str) and one for one in argv):
            raise self._wrong("rclone", "a program, or a list of a program and its options")
        config = settings.get("config", "")
        if not isinstance(config, str) or (config and not os.path.isabs(config)):
            raise self._wrong("config", "an absolute path")
        self._program = Program(tuple(argv), config)
        verify = settings.get("verify", "auto")
        if verify not in ("auto", "read"):
            raise self._wrong("verify", "auto or read")
        self._reads = verify == "read"
        space = settings.get("space", "unlimited")
        if space not in ("unlimited", "about"):
            raise self._wrong("space", "unlimited or about")
        self._unlimited = space == "unlimited"
        self._jobs = settings.get("jobs")
        if self._jobs is not None and (type(self._jobs) is not int or self._jobs < 1):
            raise self._wrong("jobs", "a whole number of at least 1")
        if "bwlimit" in settings:
            from alpenhorn.io.bandwidth import node_bwlimit  # most nodes have no limit

            node_bwlimit(node.name, settings)

    def _wrong(self, key: str, expected: str) -> StorageError:
        return wrong_setting(f"node {self.node.name}", self.settings, key, expected)

    @property
    def jobs(self) -> int | None:
        return self._jobs

    def reserved_bytes(self, size_b: int) -> int:
        return 0 if self._unlimited else size_b

    @property
    def probe_seconds(self) -> float:
        return 4 * PROBE_SECONDS  # it is several calls

    @property
    def remote(self) -> str:
        return self._remote

    @property
    def manifest_check(self) -> str:
        manifest, objects = quote(self._at(MANIFEST)), quote(self._at())
        return f"with rclone: rclone checksum md5 {manifest} {objects} --one-way --download"

    def refuses(self, path: str) -> Why:
        try:
            check_relative(path).encode()
        except UnsafePath as error:
            return error.reason
        except UnicodeEncodeError:
            return Code.NAME_NOT_FOR_RCLONE(path=repr(path), why="is not UTF-8")
        if _CONTROL.search(path):
            return Code.NAME_NOT_FOR_RCLONE(path=repr(path), why="contains a control character")
        return ""

    # --- verbs

    def look(self, paths: Sequence[str], effort: Effort) -> dict[str, SeenObject]:
        hashes = ("--hash", "--hash-type=md5") if self._abilities().md5 else ()
        argv = self._program.command(
            "lsjson", self._at(), "--recursive", "--no-mimetype", *hashes, files=True
        )
        answer = self._call(argv, [self.witness, *paths], effort)
        if answer.status in rclone.NOT_FOUND:
            raise self.unmarked()
        if answer.status:
            raise self._failed(answer)
        found = _objects(answer.output, self.remote)
        if found.pop(self.witness, None) is None:
            raise self.unmarked()
        if self._reads:
            return {path: seen._replace(md5sum="") for path, seen in found.items()}
        return found

    def listed(
        self,
        directory: str,
        recursive: bool,
        take: Callable[[str, SeenObject | None], None],
        effort: Effort,
    ) -> None:
        prefix = f"{directory}/" if directory else ""
        how = ("--recursive", "--files-only") if recursive else ()
        # Other times than the server's own would take a request for each object.
        argv = self._program.command(
            "lsjson", self._at(prefix), "--no-mimetype", "--use-server-modtime", *how
        )
        taken = 0

        def take_line(line: str) -> None:
            nonlocal taken
            if line.startswith("{"):
                for path, seen in _entries(f"[{line.rstrip().removesuffix(',')}]", self.remote):
                    taken += 1
                    take(prefix + path, seen)

        answer = rclone.call(argv, seconds=effort.seconds, stopping=effort.stopping, on_line=take_line)
        if answer.status and (taken or answer.status not in rclone.NOT_FOUND):
            raise self._failed(answer)

    def deliver(self, root: str, paths: Sequence[str], replace: bool, effort: Effort) -> dict[str, Why]:
        how = "--ignore-times" if replace else "--ignore-existing"
        if self._abilities().atomic:
            return self._delivered(self._copy(root, self._at(), paths, effort, how), paths)
        # Under a temporary name first: an upload that is cut off must not look like a copy.
        incoming = f"{INCOMING}/{os.urandom(8).hex()}"
        try:
            sent = self._copy(root, self._at(incoming), paths, effort, "--ignore-times")
            failed = self._delivered(sent, paths)
            whole = [path for path, why in failed.items() if not why]
            if not whole:
                return failed
            argv = self._program.command("move", self._at(incoming), self._at(), "-v", how, files=True)
            return failed | self._delivered(self._call(argv, whole, effort), whole, failed)
        finally:
            self._purge(incoming)

    def _copy(self, source: str, target: str, paths: Sequence[str], effort: Effort, how: str) -> Answer:
        argv = self._program.command("copy", source, target, "-v", how, rate=effort.rate, files=True)
        return self._call(argv, paths, effort)

    def _delivered(
        self, answer: Answer, paths: Sequence[str], before: Mapping[str, Why] | None = None
    ) -> dict[str, Why]:
        """Return the paths that were stored, and why others were not; `before`: what is known of them already."""
        stored, failed = answer.done(), answer.failed()
        found: dict[str, Why] = {path: "" for path in paths if path in stored}
        for path in paths:
            if path not in stored and path in failed:
                code = Code.REMOTE_FULL if rclone.means_full(failed[path]) else Code.NOT_DELIVERED
                found[path] = code(why=failed[path])
            elif path not in stored and before is not None:
                found[path] = Code.NOT_DELIVERED(why="another object appeared at its name")
        if answer.status and not failed:
            raise self._failed(answer)
        return found

    def fetch(self, paths: Sequence[str], directory: str, effort: Effort) -> dict[str, Why]:
        answer = self._copy(self._at(), directory, paths, effort, "--ignore-times")
        failed = answer.failed()
        if answer.status and not failed:
            raise self._failed(answer)
        return {path: Code.NOT_FETCHED(why=failed[path]) for path in paths if path in failed}

    def md5sums(self, paths: Sequence[str], effort: Effort) -> dict[str, str]:
        argv = self._program.command("hashsum", "md5", self._at(), "--download", files=True)
        answer = self._call(argv, paths, effort)
        sums = rclone.sums(answer.output)
        return {path: sums[path] for path in paths if path in sums and path not in answer.failed()}

    def remove(self, paths: Sequence[str], effort: Effort) -> dict[str, Why]:
        answer = self._call(self._program.command("delete", self._at(), files=True), paths, effort)
        failed = answer.failed()
        if answer.status and not failed:
            raise self._failed(answer)
        return {path: Code.OBJECT_NOT_REMOVED(why=failed[path]) for path in paths if path in failed}

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        with TemporaryDirectory(prefix="alpenhorn-") as directory:
            argv = self._program.command("copy", self._at(), directory, files=True)
            answer = self._own(argv, names)
            if answer.status and answer.status not in rclone.NOT_FOUND:
                raise self._failed(answer)
            found = {}
            for name in names:
                with suppress(FileNotFoundError), open(os.path.join(directory, name), "rb") as file:
                    found[name] = file.read(MOST_OWN_B)
            return found

    def head(self, name: str, most: int) -> bytes | None:
        # The separator follows each object, so that an empty one is not taken for a missing one.
        argv = self._program.command("cat", self._at(), f"--head={most}", "--separator=\n", files=True)
        answer = self._own(argv, (name,))
        if name in answer.failed():
            return b""
        if answer.status in rclone.NOT_FOUND:
            return None
        self._require(answer)
        return os.fsencode(answer.output[:-1]) if answer.output else None

    def put(self, name: str, content: bytes) -> None:
        size = f"--size={len(content)}"
        if self._abilities().atomic:
            self._require(self._own(self._program.command("rcat", self._at(name), size), content=content))
            return
        incoming = f"{INCOMING}/{os.urandom(8).hex()}"
        self._require(self._own(self._program.command("rcat", self._at(incoming), size), content=content))
        # A service without times of its own would take contents of the same length for the same.
        argv = self._program.command("moveto", self._at(incoming), self._at(name), "--ignore-times")
        self._require(self._own(argv))

    def free_bytes(self) -> int | None:
        if self._unlimited:
            return None
        answer = self._own(self._program.command("about", self._at(), "--json"))
        self._require(answer)
        try:
            free = int(json.loads(answer.output)["free"])
        except (ValueError, KeyError, TypeError):
            why = "rclone about does not tell the free space; set space to unlimited"
            raise StorageError(Code.REMOTE_UNKNOWN(remote=self.remote, why=why)) from None
        return max(0, free)

    def tidy(self) -> None:
        super().tidy()
        if not self._abilities().atomic:
            self._purge(INCOMING)

    # --- rclone

    def _abilities(self) -> RemoteAbilities:
        found = _abilities(self._program, self._at())
        if not (found.atomic or found.moves):
            raise StorageError(Code.REMOTE_NOT_ATOMIC(remote=self.remote, node=self.node.name))
        return found

    def _at(self, name: str = "") -> str:
        """Return the rclone path of an object, or with a final slash that of all.

        Without the slash, rclone asks for an object of that name first, and hides the error of a wrong password.
        """
        base = self.remote if self.remote.endswith((":", "/")) else f"{self.remote}/"
        return f"{base}{name}"

    def _call(self, argv: Sequence[str], names: Sequence[str], effort: Effort) -> Answer:
        return rclone.call(argv, names, seconds=effort.seconds, stopping=effort.stopping)

    def _own(self, argv: Sequence[str], names: Sequence[str] = (), content: bytes | None = None) -> Answer:
        return rclone.call(argv, names, content=content, seconds=CALL_SECONDS)

    def _require(self, answer: Answer) -> None:
        if answer.status:
            raise self._failed(answer)

    def _purge(self, name: str) -> None:
        """Remove what is left of uploads; the next run removes what cannot be removed now."""
        with suppress(StorageError):
            self._own(self._program.command("purge", self._at(name)))

    def _failed(self, answer: Answer) -> StorageError:
        return StorageError(Code.REMOTE_UNUSABLE(remote=self.remote, node=self.node.name, why=answer.why()))


@cache
def _abilities(program: Program, remote: str) -> RemoteAbilities:
    """Ask rclone once in each process, since it takes a tenth of a second.  Raises StorageError."""
    answer = rclone.call(program.command("backend", "features", remote), seconds=CALL_SECONDS)
    try:
        found = json.loads(answer.output)
        features = found["Features"]
        return RemoteAbilities(
            md5="md5" in found["Hashes"],
            atomic=bool(features.get("BucketBased")),
            moves=bool(features.get("Move")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(Code.REMOTE_UNKNOWN(remote=remote, why=answer.why())) from None


def _objects(output: str, remote: str) -> dict[str, SeenObject]:
    """Return the objects in the output of `rclone lsjson`, by path.  Raises StorageError if it is incomplete."""
    return {path: seen for path, seen in _entries(output, remote) if seen is not None}


def _entries(output: str, remote: str) -> list[tuple[str, SeenObject | None]]:
    """Return the paths in the output of `rclone lsjson`, each with its object, None for a directory."""
    try:
        return [
            (one["Path"], None)
            if one["IsDir"]
            else (
                one["Path"],
                SeenObject(
                    int(one["Size"]),
                    str((one.get("Hashes") or {}).get("md5", "")),
                    _seconds(one["ModTime"]),
                ),
            )
            for one in json.loads(output)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(Code.REMOTE_UNKNOWN(remote=remote, why=f"unexpected listing: {error}")) from None


def _seconds(text: str) -> float:
    """Return the POSIX seconds of a time; 0 if there is none, which is before any other."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


class RcloneRemote(DefaultRemote):
    """Objects, which each host reads with the rclone that it has, and the settings of the node."""

    objects = True

    def unreachable(self) -> str:
        # Only a run on the node's host finds out what a copy is that looks wrong.
        return (
            "" if self.node.host else f"no host (alpenhorn node modify {quoted(self.node.name)} --host HOST)"
        )


RCLONE = StorageClass(node=RcloneNode, group=None, remote=RcloneRemote)
