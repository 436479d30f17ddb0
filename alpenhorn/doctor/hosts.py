"""Check the hosts from which files are pulled.

rsync is started as for a pull, with --dry-run, for the markers of all relevant nodes of a host.  One session per host
tests ssh, its key, rsync on the other host, and the roots; nothing is written.  Objects are looked at with rclone.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from shlex import quote
from typing import NamedTuple

from alpenhorn.config import Config, Transfer
from alpenhorn.doctor.config import user
from alpenhorn.errors import AlpenhornError, Stopped, StorageError
from alpenhorn.extensions.registry import has_objects, node_io, remote_io
from alpenhorn.index.check import Finding, Level
from alpenhorn.io.objects import ObjectNode
from alpenhorn.listings.doctor import HostFacts
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, code_of, headed, within
from alpenhorn.transfer import rsync, ssh
from alpenhorn.transfer.address import login, root_of

HOST_SECONDS = ssh.CONNECT_TIMEOUT + 15.0
MOST_AT_ONCE = 32
NOWHERE = "/nonexistent"  # rsync requires a destination, but does not access it in a dry run


class Source(NamedTuple):
    """A host from which files are or can be pulled, with its relevant nodes."""

    name: str
    needed: bool
    nodes: tuple[NodeFact, ...]

    @property
    def level(self) -> Level:
        return Level.FAIL if self.needed else Level.WARN


def sources(facts: HostFacts, host: str) -> list[Source]:
    """Return the hosts with active nodes: those needed first, then others that have an address."""
    by_host: dict[str, list[NodeFact]] = {}
    for node in facts.topology.nodes.values():
        if node.active and node.host is not None and node.host != host and not has_objects(node):
            by_host.setdefault(node.host, []).append(node)
    found = []
    for name, nodes in by_host.items():
        used = [node for node in nodes if node.id in facts.sources]
        if used or nodes[0].address:
            found.append(Source(name, bool(used), tuple(sorted(used or nodes, key=lambda node: node.name))))
    return sorted(found, key=lambda source: (not source.needed, source.name))


def services(facts: HostFacts, config: Config) -> Iterator[Finding]:
    """Check that this host can read the objects of other hosts' nodes that it needs: as sources, or as keepers."""
    sync = config.sync
    for node in sorted(facts.topology.nodes.values(), key=lambda node: node.name):
        source = node.id in facts.sources
        keeper = node.keeps and sync.delete_evidence == "stat"
        if (
            not (node.active and (source or keeper))
            or node.host in (None, sync.host)
            or not has_objects(node)
        ):
            continue
        try:
            io = node_io(node)
            assert isinstance(io, ObjectNode)
            io.check_for_reading()
        except StorageError as error:
            why = Code.OBJECTS_NOT_READ_HERE(node=node.name, host=node.host, remote=node.where, why=error)
            yield Finding(Level.FAIL if source else Level.WARN, why)
        else:
            yield Finding(Level.PASS, f"the objects of node {node.name} on host {node.host} can be read here")


def hosts(
    wanted: Sequence[Source], transfer: Transfer, usable: frozenset[str], seconds: float = HOST_SECONDS
) -> Iterator[Finding]:
    """Check hosts in parallel.  `usable`: the working programs of rsync and ssh; `seconds`: limit for each host.

    It starts threads, so no pool of workers may be running.
    """
    ready = []
    for source in wanted:
        fault = _unaddressed(source)
        if fault is None:
            ready.append(source)
        else:
            yield fault
    if not ready:
        return
    if not usable.issuperset({"rsync", "ssh"}):
        names = ", ".join(source.name for source in ready)
        yield Finding(
            Level.WARN, Code.HOSTS_NOT_ASKED(hosts=names), "first fix the problem with the program, see above"
        )
        return
    cancelled = threading.Event()
    with ThreadPoolExecutor(min(len(ready), MOST_AT_ONCE)) as threads:
        try:
            asked = [threads.submit(_ask, source, transfer, seconds, cancelled) for source in ready]
            for answer in as_completed(asked):
                yield from answer.result()
        finally:
            cancelled.set()


def _unaddressed(source: Source) -> Finding | None:
    """Return why a host cannot be connected to, None if it can."""
    node = source.nodes[0]
    lacks, remedy = _lacks(node)
    if lacks:
        return Finding(source.level, Code.HOST_CANNOT_BE_REACHED(lacks=lacks), remedy)
    try:
        login(node)
    except StorageError as error:
        return Finding(source.level, error.reason)
    return None


def _lacks(node: NodeFact) -> tuple[str, str]:
    """Return what other hosts need to reach a node's host and the index lacks, and the command that sets it."""
    missing = [what for what in ("address", "username") if not getattr(node, what)]
    if not missing:
        return "", ""
    options = " ".join(f"--{what} {what.upper()}" for what in missing)
    return (
        f"host {node.host} has no {' and no '.join(missing)}",
        f"alpenhorn host modify {quote(str(node.host))} {options}",
    )


def _ask(source: Source, transfer: Transfer, seconds: float, cancelled: threading.Event) -> list[Finding]:
    witnesses: dict[str, NodeFact] = {}
    findings = []
    for node in source.nodes:
        try:
            remote = remote_io(node)
            why = remote.unreachable()
            if not why:
                # As rsync writes it in messages, where it must be found.
                witnesses[os.path.normpath(f"{root_of(node)}/{remote.witness}").lstrip("/")] = node
        except StorageError as error:
            why = error.reason
        if why:
            code = code_of(why) if isinstance(why, Reason) else Code.SOURCE_UNREACHABLE
            text = Reason(f"node {node.name} on host {source.name}: {why}", code)
            findings.append(Finding(source.level, text))
    end = time.monotonic() + seconds
    who = login(source.nodes[0])
    argv = rsync.command(transfer.rsync, f"{who.host}:/", NOWHERE, ssh=transfer.ssh, user=who.user)
    try:
        session = rsync.fetch(
            (argv[0], "--dry-run", *argv[1:]),
            witnesses,
            _ignore,
            _ignore,
            lambda: cancelled.is_set() or time.monotonic() > end,
        )
    except Stopped:
        return [*findings, _silent(source, transfer, seconds)]
    except AlpenhornError as error:
        return [*findings, Finding(source.level, within(error.reason, f"host {source.name}: {error}"))]
    if session.status != 0 and not rsync.is_partial(session):
        return [*findings, refused(source, transfer, session)]
    findings.append(Finding(Level.PASS, f"host {source.name} answers as a source of files ({who})"))
    complaints = rsync.complaints(session, witnesses)
    if session.status and not complaints:
        why = rsync.failure(session, source.name).error
        findings.append(Finding(source.level, headed(f"host {source.name}", why)))
    for path, trouble in complaints.items():
        findings.append(_unready(source, witnesses[path], path, trouble.error))
    return findings


def _unready(source: Source, node: NodeFact, path: str, error: Reason) -> Finding:
    return Finding(
        source.level,
        within(error, f"node {node.name} on host {source.name}: /{path} cannot be read ({error})"),
        f"on {source.name}: alpenhorn doctor; if it is elsewhere: alpenhorn node modify {quote(node.name)} --root DIR",
    )


def _ignore(_: object) -> None:
    """Do nothing: a dry run transfers nothing."""


def _silent(source: Source, transfer: Transfer, seconds: float) -> Finding:
    return Finding(
        source.level,
        Code.HOST_DID_NOT_ANSWER(host=source.name, seconds=seconds),
        f"check whether its login shell waits for something: {_test_command(source, transfer)}",
    )


def _test_command(source: Source, transfer: Transfer) -> str:
    """Return a command that connects as a pull does."""
    who = login(source.nodes[0])
    return shlex.join((*transfer.ssh, "-l", who.user, who.address, "rsync", "--version"))


def refused(source: Source, transfer: Transfer, session: rsync.SessionEnd) -> Finding:
    """Return the finding for a session that failed."""
    who = login(source.nodes[0])
    why = rsync.failure(session, source.name).error
    forget = re.search(r"ssh-keygen -f .+", session.stderr)
    test = _test_command(source, transfer)
    address = f"alpenhorn host modify {quote(source.name)} --address ADDRESS"
    remedies = {
        Code.HOST_KEY_CHANGED: "once you know the reason: "
        + (forget[0].strip() if forget else f"ssh-keygen -R {who.address}")
        + f"; then accept the new key: {test}",
        Code.HOST_KEY_UNKNOWN: f"as {user()}, compare the key and accept it: {test}",
        Code.HOST_REFUSES_LOGIN: f"as {user()}, install a key without passphrase: ssh-copy-id {who}",
        Code.HOST_UNREACHABLE: f"check that it is up and runs sshd; if the address is wrong: {address}",
        Code.HOST_WITHOUT_RSYNC: f"install rsync there, then test it: {test}",
        Code.HOST_PRINTS_AT_LOGIN: "correct the start-up files of that user's shell until this prints only the"
        f" version: {test}",
        Code.HOST_RESTRICTS_COMMANDS: "allow rsync to read files with this key, in ~/.ssh/authorized_keys there:"
        ' command="rrsync -ro /",restrict ssh-ed25519 …',
    }
    return Finding(
        source.level, within(why, f"{why} ({who})"), remedies.get(code_of(why), f"to test it: {test}")
    )


def own_address(facts: HostFacts, host: str) -> Iterator[Finding]:
    """Check that other hosts can reach this one if they pull files from it."""
    served = [node for node in facts.topology.here(host) if node.id in facts.served]
    lacks, remedy = _lacks(served[0]) if served else ("", "")
    if lacks:
        yield Finding(Level.WARN, Code.THIS_HOST_CANNOT_BE_REACHED(lacks=lacks), remedy)
