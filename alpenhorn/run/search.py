"""What a worker does to find files: list directories, one level at a time."""

from __future__ import annotations

import os
import stat
import time
from errno import ENAMETOOLONG, ENOENT, ENOTDIR

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import Below
from alpenhorn.io.base import Node
from alpenhorn.model import MARKER, Found, SearchJob, SearchOutcome

NEVER = (ENOENT, ENOTDIR, ENAMETOOLONG)  # there is no file of that path


class _Findings:
    def __init__(self, node: Node, settle: float) -> None:
        self.node = node
        self.settle = settle
        self.files: list[Found] = []
        self.directories: list[str] = []
        self.later: list[tuple[str, str]] = []
        self.declined: list[tuple[str, str]] = []
        self.error = ""

    def file(self, path: str, status: os.stat_result) -> None:
        if self.node.locked(path):
            self.later.append((path, "its lock file is there"))
        elif self.settle and time.time() - status.st_mtime < self.settle:
            self.later.append((path, "it changed a moment ago"))
        else:
            self.files.append(Found(path, status.st_size))


def search(job: SearchJob, node: Node) -> SearchOutcome:
    """Look at the paths of the job: files are found, directories listed (their files found, and with
    `recurse` their subdirectories returned for a further job).

    Symbolic links are never followed, and names that start with a dot never looked at.  Raises StorageError
    when the node itself is gone.
    """
    node.check()
    findings = _Findings(node, job.settle)
    for path in job.paths:
        try:
            _look(path, job, findings)
        except UnsafePath as error:
            findings.declined.append((path, str(error)))
        except OSError as error:
            if error.errno in NEVER:
                node.check()
                findings.declined.append((path, f"there is nothing at that path: {error.strerror}"))
            else:
                # The other paths of the job are looked at all the same.
                findings.error = findings.error or f"cannot look at {path!r}: {error.strerror}"
    return SearchOutcome(
        tuple(findings.files),
        tuple(findings.directories),
        tuple(findings.later),
        tuple(findings.declined),
        findings.error,
    )


def _look(path: str, job: SearchJob, findings: _Findings) -> None:
    if any(element.startswith(".") or element == MARKER for element in path.split("/")):
        findings.declined.append((path, f"names that start with a dot, and {MARKER}, are never imported"))
        return
    with Below(findings.node.root) as below:
        if path:
            status, directory = _status(below, path)
            if not stat.S_ISDIR(status.st_mode):
                _one_file(path, status, findings)
                return
        else:
            directory = os.open(findings.node.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _list(path, directory, job.recurse, findings)
    finally:
        os.close(directory)


def _status(below: Below, path: str) -> tuple[os.stat_result, int]:
    """The status of what is at `path`, and a descriptor of it if it is a directory (else -1)."""
    parent, name = below.parent(path)
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return status, -1
    return status, below.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _one_file(path: str, status: os.stat_result, findings: _Findings) -> None:
    if stat.S_ISREG(status.st_mode):
        findings.file(path, status)
    else:
        findings.declined.append((path, "it is not a regular file"))


def _list(path: str, directory: int, recurse: bool, findings: _Findings) -> None:
    prefix = f"{path}/" if path else ""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == MARKER:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if recurse:
                        findings.directories.append(prefix + entry.name)
                elif entry.is_file(follow_symlinks=False):
                    findings.file(prefix + entry.name, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # gone between the listing and the look
