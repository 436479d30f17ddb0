"""`alpenhorn doctor`: the hosts that files come from, asked as a pull asks them.

rsync is started as for a pull, with --dry-run, and asked for the markers of all the nodes that matter there.
So ssh, its key, the other side's rsync and the roots are tried in one session for each host, and nothing is
written.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn.config import Transfer
from alpenhorn.doctor.config import user
from alpenhorn.errors import AlpenhornError, Stopped, StorageError
from alpenhorn.extensions.registry import remote_io
from alpenhorn.index.check import Finding, Level
from alpenhorn.listings.doctor import HostFacts
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, code_of, headed, within
from alpenhorn.transfer import rsync, ssh
from alpenhorn.transfer.address import login, root_of

HOST_SECONDS = ssh.CONNECT_TIMEOUT + 15.0
MOST_AT_ONCE = 32
NOWHERE = "/nonexistent"  # rsync wants a destination, and in a dry run never looks for it


class Source(NamedTuple):
    """A host that files come from, or may come from, and the nodes on it that matter."""

    name: str
    needed: bool
    nodes: tuple[NodeFact, ...]

    @property
    def level(self) -> Level:
        return Level.FAIL if self.needed else Level.WARN


def sources(facts: HostFacts, host: str) -> list[Source]:
    """Hosts with active nodes, those that are needed first.  Of the others only what has an address."""
    by_host: dict[str, list[NodeFact]] = {}
    for node in facts.topology.nodes.values():
        if node.active and node.host is not None and node.host != host:
            by_host.setdefault(node.host, []).append(node)
    found = []
    for name, nodes in by_host.items():
        used = [node for node in nodes if node.id in facts.sources]
        if used or nodes[0].address:
            found.append(Source(name, bool(used), tuple(sorted(used or nodes, key=lambda node: node.name))))
    return sorted(found, key=lambda source: (not source.needed, source.name))


def hosts(
    wanted: Sequence[Source], transfer: Transfer, usable: frozenset[str], seconds: float = HOST_SECONDS
) -> Iterator[Finding]:
    """`usable`: those of the programs rsync and ssh that work; `seconds`: for each host.

    All are asked side by side.  Call it with no pool of workers, since it starts threads.
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
        yield Finding(Level.WARN, Code.HOSTS_NOT_ASKED(hosts=names), "mend that first, see above")
        return
    # Imported here because only this needs threads.
    from concurrent.futures import ThreadPoolExecutor, as_completed

    given_up = threading.Event()
    with ThreadPoolExecutor(min(len(ready), MOST_AT_ONCE)) as threads:
        try:
            asked = [threads.submit(_ask, source, transfer, seconds, given_up) for source in ready]
            for answer in as_completed(asked):
                yield from answer.result()
        finally:
            given_up.set()


def _unaddressed(source: Source) -> Finding | None:
    """Why a host cannot be asked."""
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
    """What a node's host lacks for others to fetch files from it, and the command that sets it; "" for nothing."""
    missing = [what for what in ("address", "username") if not getattr(node, what)]
    if not missing:
        return "", ""
    options = " ".join(f"--{what} {what.upper()}" for what in missing)
    return (
        f"host {node.host} has no {' and no '.join(missing)}",
        f"alpenhorn host modify {node.host} {options}",
    )


def _ask(source: Source, transfer: Transfer, seconds: float, given_up: threading.Event) -> list[Finding]:
    witnesses: dict[str, NodeFact] = {}
    findings = []
    for node in source.nodes:
        try:
            remote = remote_io(node)
            why = remote.unreachable()
            if not why:
                # As rsync names it in a message, so that it is recognised there.
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
            lambda: given_up.is_set() or time.monotonic() > end,
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
        within(error, f"node {node.name} on host {source.name}: /{path} cannot be had ({error})"),
        f"on {source.name}: alpenhorn doctor; if it lies elsewhere: alpenhorn node modify {node.name} --root DIR",
    )


def _ignore(_: object) -> None:
    """Nothing comes in a dry run."""


def _silent(source: Source, transfer: Transfer, seconds: float) -> Finding:
    return Finding(
        source.level,
        Code.HOST_DID_NOT_ANSWER(host=source.name, seconds=seconds),
        f"perhaps its shell waits for something when it starts; try it: {_by_hand(source, transfer)}",
    )


def _by_hand(source: Source, transfer: Transfer) -> str:
    """A command that shows what a pull meets."""
    who = login(source.nodes[0])
    return shlex.join((*transfer.ssh, "-l", who.user, who.address, "rsync", "--version"))


def refused(source: Source, transfer: Transfer, session: rsync.Session) -> Finding:
    """Why a session came to nothing, and what to do about it."""
    who = login(source.nodes[0])
    why = rsync.failure(session, source.name).error
    forget = re.search(r"ssh-keygen -f .+", session.stderr)
    try_it = _by_hand(source, transfer)
    address = f"alpenhorn host modify {source.name} --address ADDRESS"
    remedies = {
        Code.HOST_KEY_CHANGED: "once you know why: "
        + (forget[0].strip() if forget else f"ssh-keygen -R {who.address}")
        + f"; then, to accept the new one: {try_it}",
        Code.HOST_KEY_UNKNOWN: f"as {user()}, comparing the key before you say yes: {try_it}",
        Code.HOST_REFUSES_LOGIN: f"as {user()}, with a key that needs no password: ssh-copy-id {who}",
        Code.HOST_UNREACHABLE: f"see whether it is up and runs sshd; if the address is wrong: {address}",
        Code.HOST_WITHOUT_RSYNC: f"install rsync there, and try it: {try_it}",
        Code.HOST_PRINTS_AT_LOGIN: "correct the start-up files of that user's shell until this begins with the"
        f" version: {try_it}",
        Code.HOST_RESTRICTS_COMMANDS: "allow rsync to read files with this key, in ~/.ssh/authorized_keys there:"
        ' command="rrsync -ro /",restrict ssh-ed25519 …',
    }
    return Finding(
        source.level, within(why, f"{why} ({who})"), remedies.get(code_of(why), f"try it: {try_it}")
    )


def own_address(facts: HostFacts, host: str) -> Iterator[Finding]:
    """Whether others, who fetch files from this host, know where it is."""
    served = [node for node in facts.topology.here(host) if node.id in facts.served]
    lacks, remedy = _lacks(served[0]) if served else ("", "")
    if lacks:
        yield Finding(Level.WARN, Code.THIS_HOST_CANNOT_BE_REACHED(lacks=lacks), remedy)
