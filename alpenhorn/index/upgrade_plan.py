"""The plan of an upgrade: computes steps and messages from facts; changes nothing.

The older releases stored host, username and address in each node, and the kind of storage (A archive, F field,
T transport) as one letter; the current index has a table of hosts, and a node is an archive node or not.
All additions come first; the old columns are dropped last, in one statement.  Until then no data of the old index is
lost, and the upgrade is recognized as incomplete.
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
LENGTHS = {"host": 64, "username": 64, "address": 255}  # characters that the current columns hold


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
    def host_name(self) -> str:
        """The name of its host; empty if it has none."""
        return _text(self.host)


class Host(NamedTuple):
    name: str
    username: str | None
    address: str | None


class UpgradeFacts(NamedTuple):
    """The state of an index to upgrade.

    `hosts`: rows of storagehost, left by an incomplete upgrade; `folded`: different names of hosts that the server
    compares as equal; `triggers`: (trigger, table); `views`: views that may use an old column; `over_old`: (index, its
    columns) of indexes with an old column; `components`: (component, version to record); `sync_parts`: missing parts
    of the `sync_` tables; `narrow`: conversions of tables that cannot store all characters; `tables`, `columns`,
    `indexes`: missing parts of the daemon's tables.
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
    sync_parts: Sequence[ddl.Part] = ()
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
        return f"add the hosts {', '.join(shown)}"


@dataclass(frozen=True)
class FillNodes:
    """`nodes`: (id, name of its host or empty, is an archive node)."""

    nodes: tuple[tuple[int, str, bool], ...]

    def __str__(self) -> str:
        archive = sum(1 for _, _, archive in self.nodes if archive)
        return (
            f"set host_id and archive of {len(self.nodes)} nodes: storage type A ({archive} nodes) becomes archive yes,"
            " F and T become archive no"
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
    """`nodes`, as in FillNodes: the values that must be set before the columns are dropped."""

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
            f"convert the table {self.table} from the character set {self.sets} to utf8mb4 ({self.collation})"
        )


# The parts of `ddl` are for the `sync_` tables; the others are for the daemon's tables, which have models.
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
    """`notes`: data that is dropped, and changes of behaviour; `problems`: obstacles to the upgrade, with remedies."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def plan(facts: UpgradeFacts) -> UpgradePlan:
    """Return the steps, in order, with notes and problems."""
    hosts, notes = _hosts(facts)
    nodes = tuple((node.id, node.host_name, node.storage_type == ARCHIVE) for node in facts.nodes)
    # First the table by which an incomplete upgrade is recognized.
    tables = sorted(facts.tables, key=lambda table: table != "storagehost")
    existing = set(facts.hosts)
    new = tuple(host for host in hosts if host not in existing)
    added = {(column, table) for table, column in facts.columns}
    steps: list[Step] = [CreateDaemonTable(table) for table in tables]
    steps += [AddDaemonColumn(table, column) for table, column in facts.columns]
    # AddDaemonColumn creates the index on the column alone.
    steps += [
        AddIndex(index)
        for index in facts.indexes
        if len(index.columns) > 1 or (index.columns[0], index.table) not in added
    ]
    if new:
        steps.append(AddHosts(new))
    if nodes:
        steps.append(FillNodes(nodes))
    steps += facts.sync_parts
    steps += [RecordVersion(*component) for component in facts.components]
    steps += [DropIndex(name, columns) for name, columns in facts.over_old]
    steps.append(DropOldColumns(nodes))
    # Last, because the next upgrade finds missing conversions in a current index, too.
    steps += facts.narrow
    return UpgradePlan(
        tuple(steps), (*notes, *_notes(facts)), (*_problems(facts), *problems(facts.sync_parts))
    )


def _hosts(facts: UpgradeFacts) -> tuple[list[Host], list[str]]:
    """Return the rows of hosts to add, and notes about differing values of their nodes, which are dropped."""
    existing = {host.name: host for host in facts.hosts}
    hosts, notes = [], []
    for name in dict.fromkeys(node.host_name for node in facts.nodes if node.host_name):
        nodes = [node for node in facts.nodes if node.host_name == name]
        before = existing.get(name, Host(name, None, None))
        username = before.username or _usual((_text(node.username), node.active) for node in nodes)
        address = before.address or _usual((_text(node.address), node.active) for node in nodes)
        hosts.append(Host(name, username or None, address or None))
        for node in nodes:
            for what, kept, text in (
                ("username", username, _text(node.username)),
                ("address", address, _text(node.address)),
            ):
                if text and text != kept:
                    notes.append(f"host {name}: {what} set to {kept}; {text} of node {node.name} is dropped")
    return hosts, notes


def _usual(values: Iterable[tuple[str, bool]]) -> str:
    """Return the most frequent text of active nodes, or of all nodes if the active ones have none."""
    given = [(text, active) for text, active in values if text]
    texts = [text for text, active in given if active] or [text for text, _ in given]
    return Counter(texts).most_common(1)[0][0] if texts else ""


def _notes(facts: UpgradeFacts) -> list[str]:
    notes = []
    for node in facts.nodes:
        lost = [text for text in (_text(node.username), _text(node.address)) if text]
        if lost and not node.host_name:
            notes.append(f"node {node.name}: has no host; dropped: {', '.join(lost)}")
    marked = [node for node in facts.nodes if node.storage_type == TRANSPORT]
    if marked:
        notes.append(
            "storage type T (transport) is dropped, it had no effect on nodes; nodes with it: "
            + ", ".join(node.name for node in marked)
        )
    groups = {node.group: node.group_class for node in marked if node.group_class != "Transport"}
    if groups:
        shown = ", ".join(f"{name} ({kind or 'Default'})" for name, kind in groups.items())
        notes.append(
            "a group of transport disks needs the storage class Transport, which these groups with T nodes do not "
            f"have: {shown}; to set it: alpenhorn group modify GROUP --class Transport"
        )
    # The older releases used only the T nodes of such groups.
    woken = [f"{node.name} ({node.group})" for node in facts.nodes if _is_woken(node)]
    if woken:
        notes.append(
            "a group of class Transport uses all its nodes except archive nodes, now including these nodes of type F: "
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
            f"hosts {shown}: equal for the server, but they would become {len(names)} hosts; give their nodes the same "
            "name with UPDATE storagenode SET host = ... WHERE name = ..."
        )
    for node in facts.nodes:
        for column, length in LENGTHS.items():
            value = getattr(node, column)
            if value is None:
                continue
            if not isinstance(value, str):
                problems.append(f"node {node.name}: {column} is not text: {value!r}; correct it")
            elif len(value) > length:
                problems.append(
                    f"node {node.name}: {column} has {len(value)} characters, the limit is {length}; shorten it"
                )
        if node.storage_type not in (ARCHIVE, FIELD, TRANSPORT):
            problems.append(
                f"node {node.name}: unknown storage_type {node.storage_type!r}; set it to A (archive), F (field) or "
                "T (transport)"
            )
    for trigger, table in facts.triggers:
        problems.append(
            f"table {table}: has the trigger {trigger}, which is not part of any release; drop it, and create it again "
            "afterwards if it is still needed"
        )
    for view in facts.views:
        problems.append(
            f"view {view}: may use columns of storagenode that will be dropped; drop it, and create it again afterwards"
        )
    return problems


def _text(value: str | None) -> str:
    """Return the value of a text column; "" if it is null or blank."""
    return value if isinstance(value, str) and value.strip() else ""
