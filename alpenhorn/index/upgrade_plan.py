"""What brings an index of an older release to today's tables: facts in, steps and words out; nothing is touched.

The older releases kept host, username and address in each node, and the kind of storage (A archive, F field,
T transport) in one letter; today there is a row a host, and a node is an archive node or not.
Everything is added first and the old columns go last, in one statement: as long as that one is not done, nothing
of the old index is lost, and the index can be told from a finished one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alpenhorn.index.migrations import ddl
from alpenhorn.index.migrations.ddl import AddIndex, IndexOn
from alpenhorn.index.migrations.steps import problems
from alpenhorn.index.versions import OLD_COLUMNS

ARCHIVE, FIELD, TRANSPORT = "A", "F", "T"
LENGTHS = {"host": 64, "username": 64, "address": 255}  # characters that today's columns hold


class OldNode(NamedTuple):
    id: int
    name: str
    host: str | None
    username: str | None
    address: str | None
    storage_type: str | None
    active: bool
    group: str | None
    group_class: str | None

    @property
    def on(self) -> str:
        """The name of its host; empty when it has none."""
        return _text(self.host)


class Host(NamedTuple):
    name: str
    username: str | None
    address: str | None


class UpgradeFacts(NamedTuple):
    """What is there.

    `hosts`: rows of storagehost, where an upgrade was begun; `folded`: names of hosts that differ and that the server
    takes for one; `triggers`: (trigger, table); `views`: those that may show an old column; `over_old`: (index, its
    columns) that have an old column; `components`: (component, version to record); `ours`: missing parts of our own
    tables; `narrow`: the conversions of tables that cannot hold all characters; the rest: what today's index has and
    this one has not.
    """

    nodes: Sequence[OldNode]
    hosts: Sequence[Host] = ()
    folded: Sequence[tuple[str, ...]] = ()
    triggers: Sequence[tuple[str, str]] = ()
    views: Sequence[str] = ()
    over_old: Sequence[tuple[str, tuple[str, ...]]] = ()
    tables: Sequence[str] = ()
    columns: Sequence[tuple[str, str]] = ()
    indexes: Sequence[IndexOn] = ()
    components: Sequence[tuple[str, int]] = ()
    ours: Sequence[ddl.Part] = ()
    narrow: Sequence[ConvertTable] = ()


@dataclass(frozen=True)
class CreateDaemonTable:
    table: str

    def __str__(self) -> str:
        return f"create the table {self.table}"


@dataclass(frozen=True)
class AddDaemonColumn:
    table: str
    column: str

    def __str__(self) -> str:
        return f"add the column {self.column} to the table {self.table}"


@dataclass(frozen=True)
class AddHosts:
    hosts: tuple[Host, ...]

    def __str__(self) -> str:
        shown = [
            name + (f" ({'@'.join(filter(None, (username, address)))})" if username or address else "")
            for name, username, address in self.hosts
        ]
        return f"write down the hosts {', '.join(shown)}"


@dataclass(frozen=True)
class FillNodes:
    """`nodes`: (id, name of its host or empty, is an archive node)."""

    nodes: tuple[tuple[int, str, bool], ...]

    def __str__(self) -> str:
        archive = sum(1 for _, _, archive in self.nodes if archive)
        return (
            f"set host_id and archive of {len(self.nodes)} nodes: storage type A, of {archive}, becomes archive yes, "
            "F and T become archive no"
        )


@dataclass(frozen=True)
class RecordVersion:
    component: str
    version: int

    def __str__(self) -> str:
        return f"record version {self.version} of the component {self.component}"


@dataclass(frozen=True)
class DropIndex:
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"drop the index {self.name} of the table storagenode, on {', '.join(self.columns)}"


@dataclass(frozen=True)
class DropOldColumns:
    """`nodes` as in FillNodes: what must be there before the columns go."""

    nodes: tuple[tuple[int, str, bool], ...]

    def __str__(self) -> str:
        return f"drop the columns {', '.join(OLD_COLUMNS)} of the table storagenode"


@dataclass(frozen=True)
class ConvertTable:
    """`sets`: the character sets of its texts."""

    table: str
    sets: str
    collation: str

    def __str__(self) -> str:
        return (
            f"convert the table {self.table} from the character set {self.sets} to utf8mb4, {self.collation}"
        )


# Those of `ddl` are for our own tables; CreateTable and AddColumn here are for the daemon's, by their models.
Step = (
    CreateDaemonTable
    | AddDaemonColumn
    | AddHosts
    | FillNodes
    | RecordVersion
    | DropIndex
    | DropOldColumns
    | ConvertTable
    | ddl.Part
)


@dataclass(frozen=True)
class UpgradePlan:
    """`notes`: what a user should know beforehand, that is, all that is not kept; `problems`: why it cannot be done,
    with the remedies."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def plan(facts: UpgradeFacts) -> UpgradePlan:
    """Decide what is to be done; the order is that of the steps."""
    hosts, notes = _hosts(facts)
    nodes = tuple((node.id, node.on, node.storage_type == ARCHIVE) for node in facts.nodes)
    # The table that tells an upgrade that was begun comes first.
    tables = sorted(facts.tables, key=lambda table: table != "storagehost")
    there = set(facts.hosts)
    new = tuple(host for host in hosts if host not in there)
    added = {(column, table) for table, column in facts.columns}
    steps: list[Step] = [CreateDaemonTable(table) for table in tables]
    steps += [AddDaemonColumn(table, column) for table, column in facts.columns]
    # A column that is added brings its own index.
    steps += [
        AddIndex(index)
        for index in facts.indexes
        if len(index.columns) > 1 or (index.columns[0], index.table) not in added
    ]
    if new:
        steps.append(AddHosts(new))
    if nodes:
        steps.append(FillNodes(nodes))
    steps += facts.ours
    steps += [RecordVersion(*component) for component in facts.components]
    steps += [DropIndex(name, columns) for name, columns in facts.over_old]
    steps.append(DropOldColumns(nodes))
    # Last: as long as they are not all done, the next upgrade finds the rest.
    steps += facts.narrow
    return UpgradePlan(tuple(steps), (*notes, *_notes(facts)), (*_problems(facts), *problems(facts.ours)))


def _hosts(facts: UpgradeFacts) -> tuple[list[Host], list[str]]:
    """The rows of hosts that the nodes ask for, and what of the nodes is dropped for that."""
    there = {host.name: host for host in facts.hosts}
    hosts, notes = [], []
    for name in dict.fromkeys(node.on for node in facts.nodes if node.on):
        mine = [node for node in facts.nodes if node.on == name]
        before = there.get(name, Host(name, None, None))
        username = before.username or _usual((_text(node.username), node.active) for node in mine)
        address = before.address or _usual((_text(node.address), node.active) for node in mine)
        hosts.append(Host(name, username or None, address or None))
        for node in mine:
            for what, kept, text in (
                ("username", username, _text(node.username)),
                ("address", address, _text(node.address)),
            ):
                if text and text != kept:
                    notes.append(
                        f"host {name} gets the {what} {kept}; {text}, of its node {node.name}, is dropped"
                    )
    return hosts, notes


def _usual(values: Iterable[tuple[str, bool]]) -> str:
    """The most frequent text, of active nodes where one of them has any; the first of several."""
    given = [(text, active) for text, active in values if text]
    some = [text for text, active in given if active] or [text for text, _ in given]
    return Counter(some).most_common(1)[0][0] if some else ""


def _notes(facts: UpgradeFacts) -> list[str]:
    notes = []
    for node in facts.nodes:
        lost = [text for text in (_text(node.username), _text(node.address)) if text]
        if lost and not node.on:
            notes.append(f"node {node.name} is on no host, so its {' and '.join(lost)} is dropped")
    marked = [node for node in facts.nodes if node.storage_type == TRANSPORT]
    if marked:
        notes.append(
            "storage type T (transport) was only a mark, and goes; nodes that had it: "
            + ", ".join(node.name for node in marked)
        )
    groups = {node.group: node.group_class for node in marked if node.group_class != "Transport"}
    if groups:
        shown = ", ".join(f"{name} ({kind or 'Default'})" for name, kind in groups.items())
        notes.append(
            "what makes a group one of transport disks is its storage class Transport, which these groups of such "
            f"nodes do not have: {shown}; where that is meant: alpenhorn group modify GROUP --class Transport"
        )
    # There they were passed over: only T nodes took part.
    woken = [f"{node.name} ({node.group})" for node in facts.nodes if _is_woken(node)]
    if woken:
        notes.append(
            "a group of class Transport fills all its nodes but archive nodes, from now on these of type F too: "
            + ", ".join(woken)
        )
    return notes


def _is_woken(node: OldNode) -> bool:
    return node.group_class == "Transport" and node.storage_type == FIELD


def _problems(facts: UpgradeFacts) -> list[str]:
    problems = []
    for names in facts.folded:
        shown = " and ".join(repr(name) for name in names)
        problems.append(
            f"the server takes the hosts {shown} for one, and they would become {len(names)}: give their nodes one "
            "name, with UPDATE storagenode SET host = ... WHERE name = ..."
        )
    for node in facts.nodes:
        for column, length in LENGTHS.items():
            value = getattr(node, column)
            if value is None:
                continue
            if not isinstance(value, str):
                problems.append(f"the {column} of node {node.name} is no text: {value!r}; set it right")
            elif len(value) > length:
                problems.append(
                    f"the {column} of node {node.name} is {len(value)} characters long, and {length} fit: shorten it"
                )
        if node.storage_type not in (ARCHIVE, FIELD, TRANSPORT):
            problems.append(
                f"the storage_type of node {node.name} is {node.storage_type!r}: set it to A (archive), F (field) or "
                "T (transport)"
            )
    for trigger, table in facts.triggers:
        problems.append(
            f"the table {table} has the trigger {trigger}, which is no part of any release: drop it, and make it "
            "again afterwards if it is still of use"
        )
    for view in facts.views:
        problems.append(
            f"the view {view} seems to show columns of storagenode that go: drop it, and make it again afterwards"
        )
    return problems


def _text(value: str | None) -> str:
    """A text column; empty when there is nothing in it but blanks."""
    return value if isinstance(value, str) and value.strip() else ""
