"""`alpenhorn doctor`: this host's nodes, each looked at by a worker, so that a dead mount cannot hang it."""

from __future__ import annotations

import datetime
import fcntl
import os
import shlex
import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.coordinator.nodes import make_ios
from alpenhorn.coordinator.stuck import holder
from alpenhorn.doctor.config import user
from alpenhorn.doctor.dangers import Danger, dangers
from alpenhorn.doctor.media import medium
from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import group_io, node_io
from alpenhorn.fs import ofd
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from alpenhorn.index.check import Finding, Level
from alpenhorn.listings.doctor import Marks
from alpenhorn.model.nodes import GIB, MARKER, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.model.tasks import Done, Fate, Kind, Reporter, Task
from alpenhorn.plan.inodes import SPARE
from alpenhorn.plan.roots import Root, overlaps
from alpenhorn.reasons import Code, headed
from alpenhorn.scan.media import KnownMedia
from alpenhorn.scan.topology import Topology
from alpenhorn.sizes import size
from alpenhorn.workers.nodes import probe
from alpenhorn.workers.pool import Pool

MOST_WORKERS = 32
READ_ONLY = "is read-only"


class Look(NamedTuple):
    """What a worker saw: `probe` as in a run; `unwritable`: why a run could not write; `locks`: why it could not
    lock; `holder`: who holds the run lock, "" when nobody does; `taken`: when the lock's file was written, POSIX
    seconds; `real`: the root without symbolic links, "" unless the node can be worked on.  `dangers`: what other users
    could do there, and what would be done to it by a run."""

    probe: ProbeOutcome
    unwritable: str = ""
    locks: str = ""
    holder: str = ""
    taken: float | None = None
    real: str = ""
    dangers: tuple[Danger, ...] = ()


def nodes(
    topology: Topology,
    host: str,
    marks: Marks,
    media: KnownMedia,
    now: datetime.datetime,
    stuck_after: float,
    seconds: float | None = None,
) -> Generator[Finding, None, bool]:
    """`stuck_after`: seconds after which a run that holds a node is warned of; `seconds`: for each node's answer; None:
    as long as a run waits.

    Returns whether a run is working on any of them.
    """
    yield from _nowhere(topology)
    here = topology.here(host)
    yield from _groups(topology, here)
    ios, faults = make_ios(here)
    for fault in faults.values():
        yield Finding(Level.FAIL, fault)
    by_id = {node.id: node for node in here if node.id in ios}
    if not by_id:
        return False
    busy = False
    with Pool(min(len(by_id), MOST_WORKERS), look) as pool:
        for node in by_id.values():
            for warning in ios[node.id].warnings:
                yield Finding(Level.WARN, Code.NODE_SETTINGS_WARNING(detail=warning))
            deadline = ios[node.id].probe_seconds if seconds is None else seconds
            pool.submit(Task(Kind.PROBE, node.id, ProbeJob(node), files=0, deadline=deadline))
        seen: dict[int, Done] = {}
        waiting = list(by_id.values())
        while ended := pool.wait(None):
            seen |= {done.task.node_id: done for done in ended}
            # In the order of their names, so that two looks can be compared; each as soon as those before are told.
            while waiting and waiting[0].id in seen:
                node = waiting.pop(0)
                done = seen[node.id]
                busy = busy or (isinstance(done.outcome, Look) and bool(done.outcome.holder))
                yield from _node(node, done, marks, media)
                if isinstance(done.outcome, Look) and done.outcome.holder:
                    yield _run_lock(node, done.outcome, now, stuck_after)
    yield from _overlaps(here, {node_id: done.outcome for node_id, done in seen.items()})
    return busy


def _overlaps(here: Sequence[NodeFact], seen: Mapping[int, object]) -> Iterator[Finding]:
    """Roots of active nodes that are one place or lie in one another; `seen`: what the workers saw, by node id."""
    roots = {node.name: Root(node.name, node.root) for node in here if node.root}
    real = {
        node.root: look.real
        for node in here
        if node.root and isinstance(look := seen.get(node.id), Look) and look.real
    }
    for found in overlaps(roots.values(), real):
        if found.how == "is":
            yield Finding(
                Level.FAIL,
                Code.ROOTS_ALIKE(overlap=found),
                f"see whose it is; take the other off: alpenhorn node deactivate {found.one.node}",
            )
        else:
            yield Finding(
                Level.WARN,
                Code.ROOT_INSIDE_ROOT(overlap=found),
                f"alpenhorn node modify {found.one.node} --root DIR, once its files were moved",
            )


def _nowhere(topology: Topology) -> Iterator[Finding]:
    for node in sorted(topology.nodes.values(), key=lambda node: node.name):
        if node.active and node.host is None:
            yield Finding(
                Level.WARN,
                Code.NODE_ON_NO_HOST(node=node.name),
                f"alpenhorn node modify {node.name} --host HOST, or alpenhorn node deactivate {node.name}",
            )


def _groups(topology: Topology, here: Sequence[NodeFact]) -> Iterator[Finding]:
    for group_id in dict.fromkeys(node.group_id for node in here):
        members = [node for node in here if node.group_id == group_id]
        group = topology.groups.get(group_id)
        if group is None:
            names = ", ".join(node.name for node in members)
            yield Finding(
                Level.FAIL,
                Code.GROUP_ROW_MISSING(nodes=names),
                f"alpenhorn node modify {members[0].name} --group GROUP",
            )
            continue
        try:
            group_io(group, members)
        except StorageError as error:
            yield Finding(Level.FAIL, error.reason)


def _node(node: NodeFact, done: Done, marks: Marks, media: KnownMedia) -> Iterator[Finding]:
    if done.fate in (Fate.TIMED_OUT, Fate.ABANDONED):
        yield Finding(
            Level.FAIL,
            Code.NODE_DID_NOT_ANSWER(node=node.name, root=node.root, seconds=done.task.deadline),
            f"see whether its disk or file server is gone; until it is back: alpenhorn node deactivate {node.name}",
        )
        return
    if done.fate is not Fate.DONE:
        yield Finding(Level.FAIL, headed(f"node {node.name}", done.reason))
        return
    seen: Look = done.outcome
    for danger in seen.dangers:
        level = Level.FAIL if danger.refused else Level.WARN
        yield Finding(level, headed(f"node {node.name}", danger.text), danger.remedy)
    if any(danger.refused for danger in seen.dangers):
        return
    initialised_next = node.id in marks.initialised_next
    if seen.probe.uninitialised:
        yield _unmarked(node, initialised_next, media.knows(node.id))
        return
    if (node.id, seen.probe.owner) in marks.former_names:
        yield Finding(
            Level.WARN,
            Code.ROOT_HAS_FORMER_NAME(node=node.name, root=node.root, former=repr(seen.probe.owner)),
            "alpenhorn sync",
        )
        return
    if seen.probe.error:
        error = seen.probe.error
        text = error if f"node {node.name}" in error else headed(f"node {node.name}", error)
        remedy = f"if it is new: mkdir -p {shlex.quote(node.root)}" if initialised_next and node.root else ""
        yield Finding(Level.FAIL, text, remedy)
        return
    free = "an unknown amount" if seen.probe.free_b is None else size(seen.probe.free_b)
    if seen.unwritable:
        yield Finding(
            Level.FAIL,
            Code.NODE_UNWRITABLE(node=node.name, why=seen.unwritable),
            _writable_again(seen.unwritable, node),
        )
    elif seen.locks:
        yield Finding(Level.FAIL, Code.NODE_WITHOUT_LOCKS(node=node.name, why=seen.locks))
    else:
        yield Finding(
            Level.PASS,
            f"node {node.name}: {node.root} is there and is its own, can be written and locked, and has {free} free",
        )
    if seen.probe.warning:
        yield Finding(Level.WARN, seen.probe.warning)
    yield from medium(node, seen.probe.identity, media)
    yield from _room(node, seen.probe.free_b)
    if seen.probe.free_files is not None and seen.probe.free_files <= SPARE:
        yield Finding(Level.WARN, Code.NO_INODES(node=f"node {node.name}", left=seen.probe.free_files))


def _writable_again(why: str, node: NodeFact) -> str:
    how = (
        "mount it writable"
        if why.endswith(READ_ONLY)
        else f"make all of it writable for {user()}, as whom runs work"
    )
    return f"{how}; or alpenhorn node deactivate {node.name}"


def _unmarked(node: NodeFact, initialised_next: bool, known: bool) -> Finding:
    if initialised_next:
        return Finding(
            Level.WARN,
            Code.ROOT_NOT_MARKED_YET(node=node.name, root=node.root),
            "alpenhorn sync",
        )
    if known:
        return Finding(
            Level.FAIL,
            Code.ROOT_WITHOUT_MARKER(node=node.name, root=node.root, marker=MARKER),
            f"mount its storage there; if another disk is to take its place: alpenhorn node init {node.name}",
        )
    return Finding(
        Level.FAIL,
        Code.ROOT_WITHOUT_MARKER(node=node.name, root=node.root, marker=MARKER),
        f"if its storage is not mounted there, mount it; if it is new: alpenhorn node init {node.name}",
    )


def _room(node: NodeFact, free_b: int | None) -> Iterator[Finding]:
    if free_b is None:
        return
    least = max(node.min_avail_gb, 0) * GIB
    if free_b <= least:
        limit = f", and its min_avail is {size(least)}" if least else ""
        yield Finding(
            Level.WARN,
            Code.NODE_TAKES_NO_MORE_FILES(node=node.name, free=size(free_b), limit=limit),
            f"alpenhorn node clean {node.name}, or alpenhorn node modify {node.name} --min-avail SIZE",
        )


def _run_lock(node: NodeFact, seen: Look, now: datetime.datetime, stuck_after: float) -> Finding:
    held = holder(seen.holder, seen.taken)
    if held is None or not held.is_stuck(now, stuck_after):
        return Finding(Level.PASS, f"node {node.name}: a run is working on it ({seen.holder})")
    remedy = "" if held.pid is None else f"ps -o pid,etime,args -p {held.pid}"
    return Finding(Level.WARN, held.stuck(f"node {node.name}", now), remedy)


# --- in a worker ---------------------------------------------------------------------------------------


def look(task: Task, report: Reporter) -> Look:
    """Look at one node.  Nothing is made, changed or kept locked."""
    node = task.job.node
    assert isinstance(task.job, ProbeJob)
    found = probe(task.job, node_io(node))
    risks = dangers(node.root) if node.root is not None else ()
    if found.error or node.root is None:
        return Look(found, dangers=risks)
    unwritable = _unwritable(node.root)
    named, taken = _holder(os.path.join(node.root, RUN_LOCK))
    return Look(
        found,
        unwritable,
        unwritable or _locks(node.root),
        named,
        taken,
        os.path.realpath(node.root),
        risks,
    )


def _unwritable(root: str) -> str:
    if os.statvfs(root).f_flag & os.ST_RDONLY:
        return f"the file system of {root} {READ_ONLY}"
    private, run_lock = os.path.join(root, os.path.dirname(RUN_LOCK)), os.path.join(root, RUN_LOCK)
    for path in (root, private, run_lock, os.path.join(root, LOCK_NAME)):
        need = os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(path) else 0)
        # A link would lead elsewhere, and runs do not follow one.
        if os.path.lexists(path) and not os.access(path, need):
            return f"{path} cannot be written"
    return ""


def _locks(root: str) -> str:
    if os.path.lexists(os.path.join(root, LOCK_NAME)):
        try:
            probe_locks(root)
        except StorageError as error:
            return str(error)
        return ""
    # Its lock file is for the first run to make; the marker is on the same file system.
    try:
        with open(os.path.join(root, MARKER), "rb") as marker:
            fcntl.fcntl(marker.fileno(), fcntl.F_OFD_SETLK, ofd.shared(0))
    except FileNotFoundError:
        return ""
    except OSError as error:
        return (
            f"the file system of {root} has no open-file-description locks ({error.strerror}); a node needs them:"
            " mount it with POSIX locks, or keep the node on another file system"
        )
    return ""


def _holder(path: str) -> tuple[str, float | None]:
    """Who holds a run lock, and when its file was written, without taking the lock: a run that starts just now must not
    find it taken."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            answer = fcntl.fcntl(file.fileno(), fcntl.F_OFD_GETLK, ofd.exclusive(0))
            written = os.fstat(file.fileno()).st_mtime
    except OSError:
        return "", None
    (kind,) = struct.unpack_from("@h", answer)
    return ("", None) if kind == fcntl.F_UNLCK else (RunLock(path).holder(), written)
