"""Rebuild of an empty index from the manifests on disks, for `alpenhorn db rebuild`.

Each manifest is read completely before anything is written, and again to fill the index, a page at a time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from alpenhorn.coordinator.media import noted_run
from alpenhorn.edits.rebuild import Filled, Filling, Listed, node_fault, require_empty
from alpenhorn.errors import Refused, StorageError, UnsafePath
from alpenhorn.fs import identity, manifest
from alpenhorn.fs.paths import open_below
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress
from alpenhorn.io.default import DefaultNode
from alpenhorn.io.objects import SLOTS, identity_in
from alpenhorn.model.lengths import ACQ_LENGTH, NAME_LENGTH
from alpenhorn.model.nodes import MANIFEST, MARKER, Identity, NodeFact
from alpenhorn.plan.imports import detect, possible_names
from alpenhorn.plan.paths import unsafe
from alpenhorn.record.media import take_over

PAGE = 5000
SHOWN = 1000  # invalid paths that are listed
Patterns = Sequence[re.Pattern[str]]


class Disk(NamedTuple):
    """A root with a valid manifest.

    `name`: its node; `files` and `size_b`: of the manifest; `acqs_named`: the manifest gives the acquisition of each
    path; `identity`: of the medium, None if there is none; `objects`: manifest and identity were copied from objects.
    """

    root: str
    name: str
    files: int
    size_b: int
    acqs_named: bool
    identity: Identity | None = None
    objects: bool = False


class Rebuilt(NamedTuple):
    """The result.  `unnamed`: (path, reason) of files that no index can have; at most SHOWN."""

    filled: Filled
    unnamed: list[tuple[str, str]]


def read_disks(
    roots: Sequence[str], progress: Progress = lambda done, of: None
) -> tuple[list[Disk], list[str]]:
    """Return the disks at these roots, and one line for each that cannot be used.

    `progress` is called with the number of bytes of the manifests that were read, and with the number of all.
    """
    disks: list[Disk] = []
    faults: list[str] = []
    found = list(dict.fromkeys(os.path.realpath(root) for root in roots))
    lengths = [_length(root) for root in found]
    before = 0

    def at(read: int) -> None:
        progress(min(before + read, sum(lengths)), sum(lengths))

    for root, length in zip(found, lengths, strict=True):
        try:
            disks.append(_read_disk(root, at))
        except (Refused, StorageError) as error:
            faults.append(str(error))
        except (OSError, ValueError, UnsafePath) as error:
            why = error.strerror if isinstance(error, OSError) else error
            faults.append(f"{root}/{MANIFEST}: {why}; this disk was not used")
        before += length
    names = [disk.name for disk in disks]
    for name in sorted({name for name in names if names.count(name) > 1}):
        where = ", ".join(disk.root for disk in disks if disk.name == name)
        faults.append(f"node {name}: more than one root has its marker: {where}; name only one of them")
    # Disks with acquisitions come first, since they determine those of the others.
    usable = [disk for disk in disks if names.count(disk.name) == 1]
    return sorted(usable, key=lambda disk: not disk.acqs_named), faults


def fill(
    index: Index,
    disks: Sequence[Disk],
    host: str,
    group: str | None,
    patterns: Patterns,
    now: datetime,
    progress: Progress,
) -> Rebuilt:
    """Fill the index in one transaction.  `group`: the group of the new nodes; by default each has one of its name.

    `progress` is called with the number of entries of the manifests that were added, and with the number of all.

    Raises Refused if the index is not empty, ValueError if a manifest has changed since it was read.
    """

    def work() -> Rebuilt:
        require_empty(index)
        for disk in disks:
            if wrong := node_fault(index, disk.name, host, disk.root, disk.objects):
                raise Refused(f"{disk.root}: {wrong}; nothing was changed")
        filling = Filling(index, now)
        unnamed: list[tuple[str, str]] = []
        nodes: dict[str, int] = {}
        added, of = 0, sum(disk.files for disk in disks)
        for disk in disks:
            node_id = nodes[disk.name] = filling.node(disk.name, host, disk.root, group or disk.name)
            for page in _pages(disk.root):
                progress(added, of)
                added += len(page)
                listed = _listed(page, filling, patterns, unnamed)
                filling.add(node_id, disk.name, listed)
        _take_over(index, disks, nodes)
        return Rebuilt(filling.filled(), unnamed[:SHOWN])

    return index.retry(work)


def _take_over(index: Index, disks: Sequence[Disk], nodes: Mapping[str, int]) -> None:
    """Give the index the index id of the disks: otherwise runs would reject them as belonging to another index."""
    found = {disk.name: disk.identity for disk in disks if disk.identity is not None}
    ids = sorted({one.index_id for one in found.values()})
    if len(ids) > 1:
        named = ", ".join(f"{name}: {one.index_id[:8]}" for name, one in sorted(found.items()))
        raise Refused(f"the disks belong to different indexes ({named}); name those of one index only")
    if ids:
        locks = [RunLock(os.path.join(disk.root, RUN_LOCK)) for disk in disks]
        runs = {run for lock in locks if (run := noted_run(lock.noted(), ids[0])) is not None}
        take_over(index, ids[0], {nodes[name]: one for name, one in found.items()}, runs)


def _length(root: str) -> int:
    """Return the length of a manifest in bytes, 0 if it cannot be read."""
    try:
        return os.stat(os.path.join(root, MANIFEST)).st_size
    except OSError:
        return 0


def _read_disk(root: str, progress: Callable[[int], None]) -> Disk:
    if not os.path.isdir(root):
        raise Refused(f"{root}: no such directory; is its disk mounted?")
    name = DefaultNode(_anonymous(root), {}).owner()
    if not name:
        raise Refused(f"{root}: no file {MARKER}, so this is not the root of a node; it was not used")
    files = size_b = 0
    acqs_named = True
    for page in _pages(root, progress):
        files += len(page)
        size_b += sum(entry.size_b for entry in page)
        acqs_named = acqs_named and all(entry.acq_b is not None for entry in page)
    slots = {slot: content for slot in SLOTS if (content := _slot(root, slot)) is not None}
    of_objects = identity_in(slots, root)
    medium = identity.read(root) if of_objects is None else of_objects[0]
    return Disk(root, name, files, size_b, acqs_named, medium, of_objects is not None)


def _slot(root: str, name: str) -> bytes | None:
    """Return the contents of an object that was copied into the root; None if it was not."""
    try:
        with open(open_below(root, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(identity.SLOT_B)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _anonymous(root: str) -> NodeFact:
    return NodeFact(0, root, root, 0, None, None, None, True, False, None, None, None, 0.0, None)


def _pages(
    root: str, progress: Callable[[int], None] = lambda read: None
) -> Iterator[list[manifest.ManifestEntry]]:
    """Yield the entries of a manifest; `progress` is called with the number of bytes that were read."""
    with open(open_below(root, MANIFEST, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        entries = manifest.entries(file)
        while page := list(islice(entries, PAGE)):
            progress(file.tell())
            yield page


def _listed(
    page: Sequence[manifest.ManifestEntry],
    filling: Filling,
    patterns: Patterns,
    unnamed: list[tuple[str, str]],
) -> list[Listed]:
    """Return the files of a page; add those that cannot be in an index to `unnamed`."""
    paths = [os.fsdecode(entry.path) for entry in page]
    open_ones = [path for path, entry in zip(paths, page, strict=True) if entry.acq_b is None]
    known = filling.known(pair for path in open_ones for pair in possible_names(path)) if open_ones else set()
    listed = []
    for path, entry in zip(paths, page, strict=True):
        if entry.acq_b is not None:
            names = _cut(entry)
        else:
            names = next((pair for pair in possible_names(path) if pair in known), None) or detect(
                path, patterns
            )
        if names is None:
            why = "its acquisition cannot be determined from its path"
        else:
            why = _fault(*names)
            if not why:
                listed.append(Listed(*names, entry.size_b, entry.md5sum))
        if why and len(unnamed) < SHOWN:
            unnamed.append((path, why))
    return listed


def _cut(entry: manifest.ManifestEntry) -> tuple[str, str] | None:
    path, length = entry.path, entry.acq_b or 0
    if not 0 < length < len(path) or path[length : length + 1] != b"/":
        return None
    return os.fsdecode(path[:length]), os.fsdecode(path[length + 1 :])


def _fault(acq: str, name: str) -> str:
    """Return why no index can have a file of these names, "" if it can."""
    if len(acq) > ACQ_LENGTH or len(name) > NAME_LENGTH:
        return "its name is too long for the index"
    try:
        f"{acq}/{name}".encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return unsafe(acq, name)
