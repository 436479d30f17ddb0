"""Decide which commands set up an archive on this host: directories to keep, and disks for their copies.

Pure: the index and the directories were read before.  Whatever is there already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import normpath
from shlex import quote
from typing import NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.listings.storage import NodeRow
from alpenhorn.plan.roots import Root, first_overlap
from alpenhorn.setup.directories import SeenDirectory

UNCHANGED = "nothing was changed"
LONGEST = 64  # characters in the name of a node


class WantedNode(NamedTuple):
    """A directory that the user has named, and the name of its node; "" to derive one."""

    name: str
    root: str


class Wanted(NamedTuple):
    """The archive that the user wants.

    `keep`: directories whose files are kept; `on`: disks for the copies; `auto_verify`: the setting of new nodes.
    """

    host: str
    keep: Sequence[WantedNode]
    on: Sequence[WantedNode]
    auto_verify: int = 0


class Known(NamedTuple):
    """What the index has.

    `rules`: pairs of node and group with autosync.  `holding`: nodes with good copies.  `unrequested`: the pairs of
    node and group for which the node has copies that are neither in the group nor requested there.
    """

    hosts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    nodes: tuple[NodeRow, ...] = ()
    rules: frozenset[tuple[str, str]] = frozenset()
    holding: frozenset[str] = frozenset()
    unrequested: frozenset[tuple[str, str]] = frozenset()


class Chosen(NamedTuple):
    """A node for a place.

    `group`: its group.  `new`: it is to be created.  `top_acq`: acquisition into which runs move files at the top of
    its root, "" for none.
    """

    name: str
    root: str
    group: str
    new: bool
    top_acq: str = ""


class Start(NamedTuple):
    """The commands to run, as lists of words without the program, and lines about what is there already."""

    commands: list[list[str]]
    present: list[str]
    keep: list[Chosen]
    on: list[Chosen]


def start(wanted: Wanted, known: Known, seen: Mapping[str, SeenDirectory]) -> Start:
    """Return the commands that are still to be run.  Raises Refused for the first conflict."""
    chosen: list[Chosen] = []
    for option, places in (("--keep", wanted.keep), ("--on", wanted.on)):
        for place in places:
            there = _present(option, place, wanted.host, known, seen)
            chosen.append(there or _new(option, place, wanted.host, known, seen, chosen))
    _refuse_overlaps(chosen, wanted.host, known, seen)
    for name in (wanted.host, *(one.name for one in chosen), *(one.group for one in chosen)):
        if name.startswith("-"):
            raise Refused(f"{name}: begins with a dash, so commands would take it for an option; {UNCHANGED}")
    keep, on = chosen[: len(wanted.keep)], chosen[len(wanted.keep) :]
    done = Start([], [], keep, on)
    if wanted.host in known.hosts:
        done.present.append(f"host {wanted.host}")
    else:
        done.commands.append(["host", "create", wanted.host])
    for number, one in enumerate(chosen):
        if not one.new:
            done.present.append(f"node {one.name}, {one.root}")
            continue
        purpose = ["--auto-import" if number < len(keep) else "--archive"]
        if wanted.auto_verify:
            purpose += ["--auto-verify", str(wanted.auto_verify)]
        where = ("--create-group", "--host", wanted.host, "--root", one.root)
        done.commands.append(["node", "create", one.name, *where, *purpose, "--init", "--activate"])
    for source in keep:
        for target in on:
            if source.group == target.group:
                raise Refused(
                    f"{source.root} and {target.root}: nodes {source.name} and {target.name} are in the same group, so"
                    f" no copies are made from one to the other; {UNCHANGED}; choose another directory"
                )
            ends = (source.name, target.group)
            if ends in known.rules:
                done.present.append(f"copies from {source.name} into {target.group}")
            else:
                done.commands.append(["group", "autosync", target.group, source.name])
            # A rule is applied to new copies only.
            if ends in known.unrequested or (target.new and source.name in known.holding):
                done.commands.append(["group", "sync", target.group, source.name, "--force"])
    return done


def on_one_disk(chosen: Sequence[Chosen], seen: Mapping[str, SeenDirectory]) -> list[str]:
    """Return a line for each disk whose failure would destroy several of the roots."""
    roots: dict[str, list[str]] = {}
    for one in chosen:
        for disk in sorted(seen[one.root].disks):
            roots.setdefault(disk, []).append(one.root)
    return [
        f"{', '.join(several)} are on one disk ({disk}): if it fails, all of them are lost; put copies on other disks"
        for disk, several in roots.items()
        if len(several) > 1
    ]


# --- nodes -------------------------------------------------------------------------------------------------


def _present(
    option: str, place: WantedNode, host: str, known: Known, seen: Mapping[str, SeenDirectory]
) -> Chosen | None:
    """Return the node that has this root already, None without one.

    Raises Refused if it cannot be used as it is.
    """
    at = seen.get(place.root)
    nodes = [
        node for node in known.nodes if node.host == host and node.root and _same(node.root, place.root, seen)
    ]
    if not nodes:
        return None
    owner = at.root.owner if at else ""
    # Disks that are mounted in turn may have the same root.
    node = next(
        (one for one in nodes if one.name == (place.name or owner)),
        next((one for one in nodes if one.active), nodes[0]),
    )
    if place.name and node.name != place.name:
        raise Refused(
            f"{place.root}: is the root of node {node.name} already; {UNCHANGED}; leave out the name, or choose another"
            " directory"
        )
    if at is None:
        raise Refused(_silent(place.root))
    if owner and owner != node.name:
        raise Refused(
            f"{place.root}: is marked as the storage of node {owner}, but is the root of node {node.name} in the index;"
            f" {UNCHANGED}; mount the right disk"
        )
    lacks = [
        (not node.active, "is not active", f"alpenhorn node activate {quote(node.name)}"),
        (
            option == "--keep" and not node.auto_import,
            "does not import new files",
            f"alpenhorn node modify {quote(node.name)} --auto-import",
        ),
        (
            option == "--on" and not node.archive,
            "is not an archive node, so its copies do not count",
            f"alpenhorn node modify {quote(node.name)} --archive",
        ),
    ]
    for missing, what, remedy in lacks:
        if missing:
            raise Refused(
                f"{place.root}: its node {node.name} {what}; {UNCHANGED}; to change that, run: {remedy}"
            )
    return Chosen(node.name, place.root, node.group, new=False, top_acq=node.top_acq or "")


def _same(root: str, other: str, seen: Mapping[str, SeenDirectory]) -> bool:
    return normpath(root) == normpath(other) or (
        root in seen and other in seen and seen[root].root.real == seen[other].root.real
    )


def _new(
    option: str,
    place: WantedNode,
    host: str,
    known: Known,
    seen: Mapping[str, SeenDirectory],
    chosen: Sequence[Chosen],
) -> Chosen:
    """Return a node to be created.  Raises Refused if the directory or the name cannot be used."""
    at = seen.get(place.root)
    if at is None:
        raise Refused(_silent(place.root))
    if at.fault:
        fault, _, remedy = at.fault.partition("; ")
        raise Refused(f"{place.root}: {fault}; {UNCHANGED}; {remedy}".removesuffix("; "))
    name = place.name or _name(place.root, {one.name for one in chosen})
    if at.root.identified or at.root.owner not in ("", name):
        whose = f"node {at.root.owner}" if at.root.owner else "a node"
        raise Refused(
            f"{place.root}: is the storage of {whose} that this index does not have at this place on host {host};"
            f" {UNCHANGED}; choose another directory (after the loss of an index: alpenhorn db rebuild"
            f" {quote(place.root)})"
        )
    remedy = f"give it another name: {option} NAME={place.root}"
    same = next((node for node in known.nodes if node.name == name), None)
    if same is not None:
        raise Refused(
            f"node {name}: exists already, with the root {same.root or '(none)'} on host {same.host or '(none)'};"
            f" {UNCHANGED}; for {place.root}, {remedy}"
        )
    if name in known.groups:
        raise Refused(f"group {name}: exists already; {UNCHANGED}; for {place.root}, {remedy}")
    if any(one.name == name for one in chosen):
        raise Refused(f"node {name}: named twice; {UNCHANGED}; for {place.root}, {remedy}")
    return Chosen(name, place.root, name, new=True)


def _silent(root: str) -> str:
    return f"{root}: does not answer; {UNCHANGED}; check its disk or file server"


def _name(root: str, taken: set[str]) -> str:
    """Return the last elements of a path, as many as make a new name: disk1, or backup-disk1."""
    elements = [element for element in root.split("/") if element]
    names = ["-".join(elements[start:]).strip(" -.") for start in range(len(elements) - 1, -1, -1)]
    return next((name for name in names if name and name not in taken), "root")[-LONGEST:]


def _refuse_overlaps(
    chosen: Sequence[Chosen], host: str, known: Known, seen: Mapping[str, SeenDirectory]
) -> None:
    real = {path: one.root.real for path, one in seen.items()}
    others = [
        Root(node.name, node.root)
        for node in known.nodes
        if node.host == host and node.active and node.root and all(node.name != one.name for one in chosen)
    ]
    for one in chosen:
        root = Root(one.name, one.root)
        found = first_overlap(root, others, real)
        if found:
            raise Refused(f"{found}; {UNCHANGED}; choose another directory")
        others.append(root)
