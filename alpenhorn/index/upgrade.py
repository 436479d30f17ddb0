"""An index of an older release, with an older version of our own tables, or with a character set that lacks characters,
is brought up to date: all of it or nothing on SQLite; on MariaDB, where each step commits by itself, in an order in
which an upgrade that is cut short is finished by the next one.

The DDL is written here.  `playhouse.migrate` would set a new column's default by an UPDATE of all rows, followed by
a rebuilt table, and takes names of constraints by guess; an ADD COLUMN with a default touches no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import peewee as pw

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import charset, dump
from alpenhorn.index.check import unserved
from alpenhorn.index.connection import Index
from alpenhorn.index.current import other_version, refuse_other_versions
from alpenhorn.index.migrations import ddl
from alpenhorn.index.migrations.ddl import AddIndex, IndexOn, Migration
from alpenhorn.index.migrations.steps import MIGRATIONS, missing, problems
from alpenhorn.index.schema import alone, create_table, declared_indexes, record_version
from alpenhorn.index.shapes import (
    MODELS,
    UPGRADABLE,
    FoundTables,
    Shape,
    complaint,
    describe,
    shape_of,
)
from alpenhorn.index.upgrade_plan import (
    AddDaemonColumn,
    AddHosts,
    ConvertTable,
    CreateDaemonTable,
    DropIndex,
    DropOldColumns,
    FillNodes,
    Host,
    OldNode,
    RecordVersion,
    Step,
    UpgradeFacts,
    UpgradePlan,
    plan,
)
from alpenhorn.index.versions import OLD_COLUMNS, OURS, VERSIONS

TABLES = (*MODELS, *OURS)
_CONVERTED = (
    "names that differ only in case, accents or trailing blanks are different names afterwards; a conversion copies the"
    " whole table, and takes as much room again while it goes on"
)
DROP_COLUMN = (3, 35, 0)  # the first SQLite that has it


def prepare(
    index: Index, migrations: Sequence[Migration] = MIGRATIONS
) -> tuple[Shape, str, UpgradePlan | None]:
    """Look, and say what would be done: the index's shape, by what it was recognised, and the plan, None when there is
    nothing to upgrade.

    Raises IndexUnusable for an index that is newer than this program, or of a shape that it does not know.
    """
    found = describe(index)
    needed = VERSIONS | {"sync": migrations[-1].number}
    versions = found.versions or {}
    refuse_other_versions(index, versions, needed, upgrading=True)
    shape, why = shape_of(found)
    if shape in UPGRADABLE:
        return shape, why, plan(_facts(index, found, needed, migrations))
    if shape is Shape.CURRENT:
        narrow = _narrow(index, found)
        # Without any version `db init` adds our tables, as to an index of the daemon.
        if versions.get("sync", needed["sync"]) != needed["sync"]:
            why = other_version("sync", versions["sync"], needed["sync"])
            parts = missing(index, migrations)
            steps = (*parts, RecordVersion("sync", needed["sync"]), *narrow)
            return shape, why, UpgradePlan(steps, _trigger_notes(index), tuple(problems(parts)))
        if narrow:
            sets = ", ".join(sorted({step.sets for step in narrow}))
            why = f"has tables whose character set ({sets}) lacks characters that names of files have"
            return shape, why, UpgradePlan(narrow, (_CONVERTED, *_trigger_notes(index)), ())
        return shape, why, None
    raise IndexUnusable(
        complaint(found, index.url) or f"the index {index.url} has no tables yet: run `alpenhorn db init`"
    )


def _narrow(index: Index, found: FoundTables) -> tuple[ConvertTable, ...]:
    """The conversions of the tables that cannot hold all characters, in one statement each."""
    if index.dialect.compares_bytes:
        return ()
    tables = charset.narrow_tables(index.db, (name for name in TABLES if name in found.tables))
    collation = ddl.binary_collation(index) if tables else ""
    return tuple(ConvertTable(table, sets, collation) for table, sets in tables)


def _trigger_notes(index: Index) -> tuple[str, ...]:
    if index.dialect.in_a_file:  # its dump is the whole file
        return ()
    return tuple(
        f"the dump does not contain the trigger {name} of the table {table}"
        for name, table in sorted(_triggers(index))
        if table in TABLES
    )


def upgrade(
    index: Index, planned: UpgradePlan, target: Path, migrations: Sequence[Migration] = MIGRATIONS
) -> Iterator[Step | None]:
    """Write the dump to `target` and yield None, then take the steps, and yield each when it is done.

    On SQLite all that is undone unless the iteration is carried to its end.
    Raises Refused where nothing was changed: what is there is no more what was planned for, the dump cannot be
    written, or the plan has problems; IndexUnusable when a step fails.
    """
    if planned.problems:
        raise Refused("\n".join(planned.problems))
    drops = any(isinstance(step, DropOldColumns) for step in planned.steps)
    if drops and index.dialect.in_a_file and index.db.server_version < DROP_COLUMN:
        raise Refused(
            "this Python's SQLite is older than 3.35 and cannot drop a column: run `alpenhorn db upgrade` where it is "
            "newer, on a copy of the file if need be"
        )
    # Were a lost session replaced by a new one, its locks would be gone unnoticed.
    with index.impatient(), alone(index):
        _probe(index)
        if prepare(index, migrations)[2] != planned:
            raise Refused("the index was changed meanwhile by another program: stop it, and begin again")
        dump.write(index, target, list(TABLES))
        yield None
        for step in planned.steps:
            with _explained(index, step):
                do(index, step)
            yield step


def _facts(
    index: Index, found: FoundTables, needed: Mapping[str, int], migrations: Sequence[Migration]
) -> UpgradeFacts:
    nodes = index.facts(
        OldNode,
        "SELECT n.id, n.name, n.host, n.username, n.address, n.storage_type, n.active, g.name AS group__name, "
        "g.io_class AS group_class__io_class "
        "FROM storagenode n LEFT JOIN storagegroup g ON g.id = n.group_id ORDER BY n.id"
        if "storagegroup" in found.tables and ("storagegroup", "io_class") not in found.lacking
        else "SELECT id, name, host, username, address, storage_type, active, NULL AS group__name, "
        "NULL AS group_class__io_class FROM storagenode ORDER BY id",
    )
    hosts = []
    if "storagehost" in found.tables:
        hosts = index.facts(Host, "SELECT name, username, address FROM storagehost ORDER BY id")
    return UpgradeFacts(
        nodes=nodes,
        hosts=hosts,
        folded=_folded(index),
        triggers=[(name, table) for name, table in sorted(_triggers(index)) if table in MODELS],
        views=_views(index),
        over_old=[
            (one.name, tuple(one.columns))
            for one in index.db.get_indexes("storagenode")
            if not set(one.columns).isdisjoint(OLD_COLUMNS)
        ],
        tables=[name for name in MODELS if name not in found.tables],
        columns=found.lacking,
        indexes=_missing_indexes(index, found),
        components=[one for one in needed.items() if one not in (found.versions or {}).items()],
        ours=missing(index, migrations),
        narrow=_narrow(index, found),
    )


def _missing_indexes(index: Index, found: FoundTables) -> list[IndexOn]:
    """Of the daemon's tables that are there.  A unique index on rows that are there may be impossible, and is left to
    `db check`."""
    return [
        one
        for name, table in MODELS.items()
        if name in found.tables
        for one in unserved(index, table)
        if not one.unique or index.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() is None
    ]


def _folded(index: Index) -> list[tuple[str, ...]]:
    if index.dialect.compares_bytes:
        return []
    hosts = index.values(
        "SELECT MIN(host) FROM storagenode WHERE host IS NOT NULL AND host <> '' "
        "GROUP BY host HAVING COUNT(DISTINCT BINARY host) > 1"
    )
    spelled = "SELECT host FROM storagenode WHERE host = ?"
    return [tuple(sorted(set(index.values(spelled, (host,))))) for host in hosts]


def _triggers(index: Index) -> list[tuple[str, str]]:
    return [(name, table) for name, table in index.execute(index.dialect.triggers).fetchall()]


def _views(index: Index) -> list[str]:
    """Those whose text has the words."""
    rows = index.execute(index.dialect.views).fetchall()
    found = ((name, set(re.findall(r"\w+", text or ""))) for name, text in rows)
    return sorted(
        name for name, words in found if "storagenode" in words and not words.isdisjoint(OLD_COLUMNS)
    )


# --- the doing -----------------------------------------------------------------------------------------


def do(index: Index, step: Step) -> None:
    """Take one step; that it was taken is seen by looking at the tables (`prepare`)."""
    match step:
        case CreateDaemonTable(table):
            create_table(index, MODELS[table])
        case AddDaemonColumn(table, column):
            _add_column(index, table, column)
        case ddl.CreateTable() | ddl.AddColumn() | AddIndex():
            ddl.apply(index, step)
        case ConvertTable(table, _, collation):
            index.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
        case AddHosts(hosts):
            _add_hosts(index, hosts)
        case FillNodes(nodes):
            _fill_nodes(index, nodes)
        case RecordVersion(component, version):
            record_version(index, component, version)
        case DropIndex(name, _):
            index.execute(index.dialect.drop_index(name, "storagenode"))
        case DropOldColumns(nodes):
            with _locked(index, "storagenode WRITE, storagehost READ"):
                _drop_old_columns(index, nodes)


def _add_column(index: Index, table: str, column: str) -> None:
    field = MODELS[table]._meta.columns[column]
    context = index.db.get_sql_context()
    definition, _ = context.sql(field.ddl(context)).query()
    if not field.null:
        definition += f" DEFAULT {int(field.default)}"
    declared = [one for one in declared_indexes(MODELS[table]) if one.columns == (column,)]
    parent = f"{field.rel_model._meta.table_name} (id)" if isinstance(field, pw.ForeignKeyField) else ""
    if index.dialect.transactional_ddl:
        index.execute(
            f"ALTER TABLE {table} ADD COLUMN {definition}" + (f" REFERENCES {parent}" if parent else "")
        )
        for one in declared:
            index.execute(one.ddl)
        return
    # One statement, so that the column is never there without its index and its foreign key.
    parts = [f"ADD COLUMN {definition}"]
    parts += [f"ADD INDEX {one.name} ({column})" for one in declared]
    if parent:
        parts.append(f"ADD FOREIGN KEY ({column}) REFERENCES {parent}")
    index.execute(f"ALTER TABLE {table} {', '.join(parts)}")


def _add_hosts(index: Index, hosts: tuple[Host, ...]) -> None:
    with index.transaction():
        for host in hosts:
            index.execute(index.upsert("storagehost", Host._fields, ("name",), ("username", "address")), host)


def _fill_nodes(index: Index, nodes: tuple[tuple[int, str, bool], ...]) -> None:
    with index.transaction():
        hosts = _host_ids(index)
        for node_id, host, archive in nodes:
            index.execute(
                "UPDATE storagenode SET host_id = ?, archive = ? WHERE id = ?",
                (hosts[host] if host else None, int(archive), node_id),
            )


def _drop_old_columns(index: Index, nodes: tuple[tuple[int, str, bool], ...]) -> None:
    """The last look before something goes: another program may have changed a node since it was filled."""
    names = {host_id: name for name, host_id in _host_ids(index).items()}
    filled = [
        (node_id, (host or "").strip() and host, storage_type == "A", names.get(host_id, ""), bool(archive))
        for node_id, host, storage_type, host_id, archive in index.execute(
            "SELECT id, host, storage_type, host_id, archive FROM storagenode ORDER BY id"
        ).fetchall()
    ]
    if filled != [(node_id, host, archive, host, archive) for node_id, host, archive in nodes]:
        raise IndexUnusable(
            "another program changed a node during the upgrade: stop it, and run `alpenhorn db upgrade` again; "
            "nothing is lost"
        )
    if index.dialect.transactional_ddl:
        for column in OLD_COLUMNS:
            index.execute(f"ALTER TABLE storagenode DROP COLUMN {column}")
    else:
        dropped = ", ".join(f"DROP COLUMN {column}" for column in OLD_COLUMNS)
        index.execute(f"ALTER TABLE storagenode {dropped}")


def _host_ids(index: Index) -> dict[str, int]:
    return dict(index.execute("SELECT name, id FROM storagehost").fetchall())


def _probe(index: Index) -> None:
    """Find out before anything is changed whether other programs have the table in use, or a right is missing."""
    with _locked(index, "storagenode WRITE"):
        pass


@contextmanager
def _locked(index: Index, tables: str) -> Iterator[None]:
    """Keep all others from tables of MariaDB; on SQLite the transaction does."""
    if index.dialect.transactional_ddl:
        yield
        return
    index.execute(f"LOCK TABLES {tables}")
    try:
        yield
    finally:
        index.execute("UNLOCK TABLES")


@contextmanager
def _explained(index: Index, step: Step) -> Iterator[None]:
    try:
        yield
    except pw.PeeweeException as error:
        left = (
            "nothing was changed"
            if index.dialect.transactional_ddl
            else "nothing is lost, and `alpenhorn db upgrade` goes on from here once that is put right"
        )
        raise IndexUnusable(f"the upgrade could not {step}: {error}; {left}") from error
