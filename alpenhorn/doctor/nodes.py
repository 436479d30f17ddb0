"""Check the nodes of this host, each in a worker, so that a dead mount cannot block the others."""

from __future__ import annotations

import datetime
import fcntl
import os
import shlex
import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from alpenhorn.coordinator.nodes import make_ios
from alpenhorn.coordinator.stuck import holder
from alpenhorn.doctor.config import user
from alpenhorn.doctor.dangers import Danger, dangers
from alpenhorn.doctor.media import medium
from alpenhorn.errors import StorageError
from alpenhorn.extensions.registry import group_io, node_io
from alpenhorn.formats import size
from alpenhorn.fs import ofd
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from alpenhorn.index.check import Finding, Level
from alpenhorn.kinds import HANDLERS, load
from alpenhorn.listings.doctor import Marks
from alpenhorn.model.nodes import GIB, MARKER, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.model.tasks import Done, Fate, Reporter, Task, TaskKind
from alpenhorn.plan.inodes import SPARE
from alpenhorn.plan.roots import Root, overlaps
from alpenhorn.reasons import Code, code_of, headed
from alpenhorn.scan.media import KnownMedia
from alpenhorn.scan.topology import Topology
from alpenhorn.workers.pool import Pool

MOST_WORKERS = 32
READ_ONLY = "is read-only"


class Examination(NamedTuple):
    """The result of a worker's checks of one node.

    `probe`: as in a run; `unwritable` and `locks`: why a run could not write or lock there, "" if it could; `holder`:
    the run that holds the run lock, "" if none; `taken`: when the lock file was written, in POSIX seconds; `real`: the
    root without symbolic links, "" if the node cannot be used; `dangers`: risks from other users.
    """

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
    """Check the nodes of a host; return whether a run is working on any of them.

    `stuck_after`: seconds after which a run that holds a node is reported; `seconds`: limit for each node, None for the
    same as in a run.
    """
    yield from _without_host(topology)
    here = topology.here(host)
    yield from _groups(topology, here)
    ios, faults = make_ios(here)
    for fault in faults.values():
        yield Finding(Level.FAIL, fault)
    by_id = {node.id: node for node in here if node.id in ios}
    if not by_id:
        return False
    busy = False
    with Pool(min(len(by_id), MOST_WORKERS), examine) as pool:
        for node in by_id.values():
            for warning in ios[node.id].warnings:
                yield Finding(Level.WARN, Code.NODE_SETTINGS_WARNING(detail=warning))
            deadline = ios[node.id].probe_seconds if seconds is None else seconds
            pool.submit(Task(TaskKind.PROBE, node.id, ProbeJob(node), files=0, deadline=deadline))
        seen: dict[int, Done] = {}
        waiting = list(by_id.values())
        while ended := pool.wait(None):
            seen |= {done.task.node_id: done for done in ended}
            # In the order of names, so that the output of two calls can be compared.
            while waiting and waiting[0].id in seen:
                node = waiting.pop(0)
                done = seen[node.id]
                busy = busy or (isinstance(done.outcome, Examination) and bool(done.outcome.holder))
                yield from _node(node, done, marks, media)
                if isinstance(done.outcome, Examination) and done.outcome.holder:
                    yield _run_lock(node, done.outcome, now, stuck_after)
    yield from _overlaps(here, {node_id: done.outcome for node_id, done in seen.items()})
    return busy


def _overlaps(here: Sequence[NodeFact], seen: Mapping[int, object]) -> Iterator[Finding]:
    """Report roots of active nodes that are the same or inside one another.  `seen`: examinations by node id."""
    roots = {node.name: Root(node.name, node.root) for node in here if node.root}
    real = {
        node.root: found.real
        for node in here
        if node.root and isinstance(found := seen.get(node.id), Examination) and found.real
    }
    for found in overlaps(roots.values(), real):
        if found.how == "is":
            yield Finding(
                Level.FAIL,
                Code.ROOTS_ALIKE(overlap=found),
                f"if it is the other node's: alpenhorn node deactivate {quote(found.one.node)}",
            )
        else:
            yield Finding(
                Level.WARN,
                Code.ROOT_INSIDE_ROOT(overlap=found),
                f"move its files, then: alpenhorn node modify {quote(found.one.node)} --root DIR",
            )


def _without_host(topology: Topology) -> Iterator[Finding]:
    for node in sorted(topology.nodes.values(), key=lambda node: node.name):
        if node.active and node.host is None:
            name = quote(node.name)
            yield Finding(
                Level.WARN,
                Code.NODE_ON_NO_HOST(node=node.name),
                f"alpenhorn node modify {name} --host HOST, or alpenhorn node deactivate {name}",
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
                f"alpenhorn node modify {quote(members[0].name)} --group GROUP",
            )
            continue
        taking = [node for node in members if not node.retired]
        if not taking:
            continue
        try:
            group_io(group, taking)
        except StorageError as error:
            yield Finding(Level.FAIL, error.reason)


def _node(node: NodeFact, done: Done, marks: Marks, media: KnownMedia) -> Iterator[Finding]:
    if done.fate in (Fate.TIMED_OUT, Fate.ABANDONED):
        yield Finding(
            Level.FAIL,
            Code.NODE_DID_NOT_ANSWER(node=node.name, root=node.where, seconds=done.task.deadline),
            f"check its disk or file server; until it is back: alpenhorn node deactivate {quote(node.name)}",
        )
        return
    if done.fate is not Fate.DONE:
        yield Finding(Level.FAIL, headed(f"node {node.name}", done.reason))
        return
    seen: Examination = done.outcome
    for danger in seen.dangers:
        level = Level.FAIL if danger.refused else Level.WARN
        yield Finding(level, headed(f"node {node.name}", danger.text), danger.remedy)
    if any(danger.refused for danger in seen.dangers):
        return
    initialised_next = node.id in marks.initialised_next
    if code_of(seen.probe.error) is Code.REMOTE_NOT_MARKED and not initialised_next:
        yield Finding(Level.FAIL, seen.probe.error)
        return
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
            f"node {node.name}: {node.root} is mounted, writable and lockable, and has {free} free"
            if node.where == node.root
            else f"node {node.name}: {node.where} answers, and {node.root} is writable and lockable",
        )
    if seen.probe.warning:
        yield Finding(Level.WARN, seen.probe.warning)
    yield from medium(node, seen.probe.identity, media)
    yield from _room(node, seen.probe.free_b)
    if seen.probe.free_files is not None and seen.probe.free_files <= SPARE:
        yield Finding(Level.WARN, Code.NO_INODES(node=f"node {node.name}", left=seen.probe.free_files))


def _writable_again(why: str, node: NodeFact) -> str:
    how = "mount it writable" if why.endswith(READ_ONLY) else f"make the whole root writable for {user()}"
    return f"{how}, or: alpenhorn node deactivate {quote(node.name)}"


def _unmarked(node: NodeFact, initialised_next: bool, known: bool) -> Finding:
    if initialised_next:
        return Finding(
            Level.WARN,
            Code.ROOT_NOT_MARKED_YET(node=node.name, root=node.where),
            "alpenhorn sync",
        )
    if known:
        return Finding(
            Level.FAIL,
            Code.ROOT_WITHOUT_MARKER(node=node.name, root=node.root, marker=MARKER),
            f"mount its storage there; if another disk is to take its place: alpenhorn node init {quote(node.name)}",
        )
    return Finding(
        Level.FAIL,
        Code.ROOT_WITHOUT_MARKER(node=node.name, root=node.root, marker=MARKER),
        f"mount its storage; if the node is new: alpenhorn node init {quote(node.name)}",
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
            f"alpenhorn node clean {quote(node.name)}, or alpenhorn node modify {quote(node.name)} --min-avail SIZE",
        )


def _run_lock(node: NodeFact, seen: Examination, now: datetime.datetime, stuck_after: float) -> Finding:
    held = holder(seen.holder, seen.taken)
    if held is None or not held.is_stuck(now, stuck_after):
        return Finding(Level.PASS, f"node {node.name}: a run is working on it ({seen.holder})")
    remedy = "" if held.pid is None else f"ps -o pid,etime,args -p {held.pid}"
    return Finding(Level.WARN, held.stuck(f"node {node.name}", now), remedy)


# --- in a worker ---------------------------------------------------------------------------------------


def examine(task: Task, report: Reporter) -> Examination:
    """Examine one node, without changing anything or keeping a lock."""
    node = task.job.node
    assert isinstance(task.job, ProbeJob)
    io = node_io(node)
    found = load(HANDLERS[io.storage]["ProbeJob"].target)(task.job, io)
    risks = dangers(node.root) if node.root is not None else ()
    if found.error or node.root is None:
        return Examination(found, dangers=risks)
    unwritable = _unwritable(node.root)
    named, taken = _holder(os.path.join(node.root, RUN_LOCK))
    return Examination(
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
        # os.access follows links, which runs do not.
        if os.path.lexists(path) and not os.access(path, need):
            return f"{path} is not writable"
    return ""


def _locks(root: str) -> str:
    if os.path.lexists(os.path.join(root, LOCK_NAME)):
        try:
            probe_locks(root)
        except StorageError as error:
            return str(error)
        return ""
    # The first run creates the lock file; until then the marker is tested, which is on the same file system.
    try:
        with open(os.path.join(root, MARKER), "rb") as marker:
            fcntl.fcntl(marker.fileno(), fcntl.F_OFD_SETLK, ofd.shared(0))
    except FileNotFoundError:
        return ""
    except OSError as error:
        return (
            f"the file system of {root} does not support open file description locks ({error.strerror}), which nodes"
            " need; mount it with POSIX locks, or keep the node on another file system"
        )
    return ""


def _holder(path: str) -> tuple[str, float | None]:
    """Return the holder of a run lock, and when its file was written.

    The lock is not taken: a run that starts at the same time would find the node locked.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            answer = fcntl.fcntl(file.fileno(), fcntl.F_OFD_GETLK, ofd.exclusive(0))
            written = os.fstat(file.fileno()).st_mtime
    except OSError:
        return "", None
    (kind,) = struct.unpack_from("@h", answer)
    return ("", None) if kind == fcntl.F_UNLCK else (RunLock(path).holder(), written)
