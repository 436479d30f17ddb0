"""A node with objects, on which the tests of its workers work."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from alpenhorn.config import Transfer
from alpenhorn.extensions.registry import node_io
from alpenhorn.io.objects import ObjectNode
from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome
from alpenhorn.model.nodes import InitJob, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.nodes import initialise
from alpenhorn.workers.objects.check import check
from alpenhorn.workers.objects.delete import delete
from alpenhorn.workers.objects.nodes import probe
from alpenhorn.workers.objects.pull import pull_from
from tests.fixtures.rclone import Service
from tests.io.nodes import Report, make, put
from tests.plan.facts import node as node_fact

CONTENT = b"content"
MD5 = hashlib.md5(CONTENT).hexdigest()


class Store:
    """A node `store` whose objects are in a place of their own, and a node `disk` on the same host."""

    def __init__(self, base: Path, service: Service) -> None:
        self.service = service
        self.base = base
        self.place = f"bucket/{base.name}"
        self.root = base / "root"
        self.root.mkdir()
        self.disk = make(base / "disk", "disk")
        self.set()
        assert not initialise(InitJob(self.fact, 1), self.node).error

    def set(self, **settings: Any) -> None:
        """Give the node other settings."""
        config = json.dumps(self.service.settings(self.place) | settings)
        self.fact: NodeFact = node_fact(
            3, name="store", root=str(self.root), io_class="Rclone", io_config=config
        )
        made = node_io(self.fact)
        assert isinstance(made, ObjectNode)
        self.node = made

    def at(self, name: str) -> Path:
        return self.service.top / self.place / name

    def probed(self) -> ProbeOutcome:
        return probe(ProbeJob(self.fact, tidy=True), self.node)

    def pulled(self, *paths: str, report: Report | None = None, **columns: Any) -> tuple[PullResult, ...]:
        files = tuple(
            PullFile(number, number, path, len(CONTENT), MD5, **columns) for number, path in enumerate(paths)
        )
        job = PullJob(self.disk.node, self.fact, Method.OBJECTS, files)
        return pull_from(job, self.node, "s", Transfer(), report or Report(), None, set())

    def stored(self, *paths: str) -> None:
        for path in paths:
            put(Path(self.disk.root), path, CONTENT)
        assert [one.verdict for one in self.pulled(*paths)] == [Verdict.PULLED] * len(paths)

    def checked(self, *paths: str) -> list[Verdict]:
        files = tuple(CheckFile(number, number, path, len(CONTENT), MD5) for number, path in enumerate(paths))
        return [result.verdict for result in check(CheckJob(self.fact, files), self.node, Report(), None)]

    def deleted(self, *paths: str, **columns: Any) -> DeleteOutcome:
        files = tuple(
            DeleteFile(number, number, path, len(CONTENT), "Y", **columns)
            for number, path in enumerate(paths)
        )
        return delete(DeleteJob(self.fact, files), self.node, Report(), Transfer(), {}, None)
