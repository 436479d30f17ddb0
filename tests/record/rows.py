"""Rows for tests of scan and record: two hosts, a field group and two archive groups, and files on them."""

from __future__ import annotations

import datetime
from typing import Any

from alpenhorn.index.connection import Index
from alpenhorn.model import NodeFact
from alpenhorn.record import run as runs
from alpenhorn.record.run import Run
from alpenhorn.scan import topology
from tests.fixtures.seen import mark_seen

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5)
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
HERE, THERE = "here", "there"


class Rows:
    """Groups field (node field), one (nodes one and one_too, which is on the other host) and two (node two);
    acquisition acq."""

    def __init__(self, index: Index) -> None:
        self.index = index
        here = self.insert("storagehost", name=HERE, username="u", address="a")
        there = self.insert("storagehost", name=THERE, username="u", address="b")
        self.group = {name: self.insert("storagegroup", name=name) for name in ("field", "one", "two")}
        self.node = {
            name: self.insert(
                "storagenode",
                name=name,
                root=f"/srv/{name}",
                host_id=host,
                group_id=self.group[group],
                active=1,
                auto_import=0,
                auto_verify=0,
                archive=int(group != "field"),
                min_avail_gb=0.0,
            )
            for name, group, host in (
                ("field", "field", here),
                ("one", "one", here),
                ("one_too", "one", there),
                ("two", "two", here),
            )
        }
        for name in ("one", "one_too", "two"):
            mark_seen(index, self.node[name])
        self.acq = self.insert("archiveacq", name="acq")

    def insert(self, table: str, **values: Any) -> int:
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        cursor = self.index.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values())
        )
        return int(cursor.lastrowid)

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.index.execute(sql, values).fetchall()]

    def do(self, sql: str, *values: Any) -> None:
        self.index.execute(sql, values)

    def file(self, name: str, size_b: int | None = 10, md5sum: str | None = MD5) -> int:
        return self.insert(
            "archivefile", acq_id=self.acq, name=name, size_b=size_b, md5sum=md5sum, registered=WHEN
        )

    def copy(self, file_id: int, node: str, state: str) -> int:
        """`state`: has_file and wants_file, as "YN"."""
        return self.insert(
            "archivefilecopy",
            file_id=file_id,
            node_id=self.node[node],
            has_file=state[0],
            wants_file=state[1],
            ready=1,
            size_b=4096,
            last_update=WHEN,
        )

    def state(self, file_id: int, node: str) -> str | None:
        rows = self.all(
            "SELECT has_file, wants_file FROM archivefilecopy WHERE file_id = ? AND node_id = ?",
            file_id,
            self.node[node],
        )
        return rows[0][0] + rows[0][1] if rows else None

    def request(
        self, file_id: int, source: str = "field", group: str = "one", completed: int = 0, cancelled: int = 0
    ) -> int:
        return self.insert(
            "archivefilecopyrequest",
            file_id=file_id,
            node_from_id=self.node[source],
            group_to_id=self.group[group],
            completed=completed,
            cancelled=cancelled,
            timestamp=WHEN,
        )

    def request_state(self, request_id: int) -> str:
        ((completed, cancelled),) = self.all(
            "SELECT completed, cancelled FROM archivefilecopyrequest WHERE id = ?", request_id
        )
        return "completed" if completed else "cancelled" if cancelled else "pending"

    def pending(self, group: str) -> list[tuple[Any, ...]]:
        """(file id, source node id) of the pending requests into a group."""
        return self.all(
            "SELECT file_id, node_from_id FROM archivefilecopyrequest"
            " WHERE group_to_id = ? AND completed = 0 AND cancelled = 0 ORDER BY id",
            self.group[group],
        )

    def edge(self, node: str, group: str, autosync: int = 0, autoclean: int = 0) -> None:
        self.insert(
            "storagetransferaction",
            node_from_id=self.node[node],
            group_to_id=self.group[group],
            autosync=autosync,
            autoclean=autoclean,
        )

    def attempts(self, kind: str) -> list[tuple[Any, ...]]:
        """(subject, count, blame, error)."""
        return self.all(
            "SELECT subject_id, count, blame, error FROM sync_attempt WHERE kind = ? ORDER BY subject_id",
            kind,
        )

    def claims(self) -> list[tuple[Any, ...]]:
        """(file id, group id, run id)."""
        return self.all("SELECT file_id, target_id, run_id FROM sync_claim ORDER BY file_id, target_id")

    def events(self, what: str) -> list[tuple[Any, ...]]:
        return self.all("SELECT file_id, node_id FROM sync_event WHERE what = ? ORDER BY id", what)

    def fact(self, node: str) -> NodeFact:
        return topology.load(self.index).nodes[self.node[node]]

    def begin(self, host: str = HERE) -> Run:
        return runs.begin(self.index, host, ["one"], lambda: WHEN)
