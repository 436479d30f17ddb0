"""The index of a simulated archive: alpenhorn's own tables, with one row for many files of an acquisition."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from alpenhorn.edits import policies
from alpenhorn.edits.policies import PolicyLists
from alpenhorn.fs.identity import new_id, new_word
from alpenhorn.index import schema
from alpenhorn.index.connection import Index
from alpenhorn.model.imports import ImportFile, ImportResult
from alpenhorn.model.nodes import Identity, NodeFact
from alpenhorn.model.policies import DEFAULT
from alpenhorn.model.tasks import Verdict
from alpenhorn.record import imports
from alpenhorn.record import run as runs
from alpenhorn.record.media import ensure_identity
from alpenhorn.scan import topology
from simulation.scenario import Scenario, Site
from simulation.world import Medium, World

MD5 = "0" * 32
COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "size_b", "last_update")


class SimulatedIndex(Index):
    """An index whose server has the clock of the simulation."""

    clock: Callable[[], datetime.datetime]

    def now(self) -> datetime.datetime:
        return self.clock()


class Recorder(NamedTuple):
    """A site's disk to which new files are written, and the run that registers them."""

    node: NodeFact
    run: runs.Run


class Archive:
    """The index, and the first media of its nodes.

    `row_b`: bytes of the files that one row stands for; `recorders`: by the name of the site; `nodes`: ids of the
    archive nodes at each site; `registered`: number of rows of files.
    """

    def __init__(
        self, directory: Path, scenario: Scenario, world: World, clock: Callable[[], datetime.datetime]
    ) -> None:
        self.scenario = scenario
        self.row_b = int(scenario.data.files_per_row * scenario.data.file_mb * 1e6)
        self.recorders: dict[str, Recorder] = {}
        self.nodes: dict[str, list[int]] = {}
        self.registered = 0
        self.url = f"sqlite:///{directory}/index.db"
        self._world = world
        self._clock = clock
        self.index = cast(SimulatedIndex, SimulatedIndex.open(self.url, create=True))
        self.index.clock = clock
        schema.create(self.index)
        self._index_id = ensure_identity(self.index, new_id())
        wanted = {
            "name": DEFAULT,
            "copies": scenario.policy.copies,
            "sites": scenario.policy.sites,
            "min_age": 0,
            "priority": 0,
        }
        policies.create(self.index, wanted, PolicyLists())
        with self.index.transaction():
            for site in scenario.sites:
                self._create_site(site)
        nodes = topology.load(self.index).nodes
        for node in nodes.values():
            if not node.archive and node.site:
                run = runs.begin(self.index, node.site, [], clock)
                runs.end(self.index, run, 0, {}, {})
                # A recorder's disk may be replaced, and the next one is of the same node.
                self.recorders[node.site] = Recorder(node._replace(medium=None), run)

    def _insert(self, table: str, **values: Any) -> int:
        columns = ", ".join(values)
        cursor = self.index.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
        )
        return int(cursor.lastrowid)

    def _create_site(self, site: Site) -> None:
        host_id = self._insert(
            "storagehost", name=site.name, username="alpenhorn", address=f"{site.name}.example"
        )
        self.nodes[site.name] = [
            self._create_node(f"{site.name}-{number:03}", site.name, host_id, archive=True)
            for number in range(1, site.nodes + 1)
        ]
        if site.share:
            self._create_node(f"{site.name}-new", site.name, host_id, archive=False)

    def _create_node(self, name: str, site: str, host_id: int, *, archive: bool) -> int:
        verify = self.scenario.runs.verify if archive else 0
        node_id = self._insert(
            "storagenode",
            name=name,
            root=f"/{name}",
            host_id=host_id,
            group_id=self._insert("storagegroup", name=name),
            active=1,
            auto_import=0,
            auto_verify=verify,
            archive=int(archive),
            min_avail_gb=0,
        )
        medium = self.new_medium(node_id, name, site, archive)
        medium.marked = True
        medium.identity = Identity(self._index_id, new_id(), 1, new_word())
        self._world.put(medium)
        self._insert(
            "sync_medium",
            node_id=node_id,
            medium=medium.identity.medium,
            generation=medium.identity.generation,
            word=medium.identity.word,
            seen=self._clock(),
            separate=1,
            looked=0,
            lost=0,
        )
        return node_id

    def new_medium(self, node_id: int, name: str, site: str, archive: bool) -> Medium:
        return Medium(node_id, name, site, archive, int(self.scenario.nodes.size_tb * 1e12))

    def fill(self, chance: random.Random) -> None:
        """Register the first files, which have what the policy asks for."""
        rows = -(-self.scenario.data.files // self.scenario.data.files_per_row)
        now = str(self._clock())
        acq_id = self._insert("archiveacq", name="before")
        with self.index.transaction():
            self.index.executemany(
                "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered) VALUES (?, ?, ?, ?, ?, ?)",
                [(id, acq_id, f"{id:08}", self.row_b, MD5, now) for id in range(1, rows + 1)],
            )
            copies = []
            for file_id in range(1, rows + 1):
                for node_id in self._places(chance):
                    self._world.store(self._world.present[node_id], file_id, self.row_b)
                    copies.append((file_id, node_id, "Y", "Y", 1, self.row_b, now))
            self.index.executemany(
                f"INSERT INTO archivefilecopy ({', '.join(COPY)}) VALUES ({', '.join('?' * len(COPY))})",
                copies,
            )
        self.registered = rows

    def _places(self, chance: random.Random) -> list[int]:
        """Choose nodes for a file: one at each of the sites that the policy asks for, and the rest anywhere."""
        sites = chance.sample(sorted(self.nodes), self.scenario.policy.sites)
        chosen = [self._emptiest(self.nodes[site], chance, ()) for site in sites]
        every = [node_id for ids in self.nodes.values() for node_id in ids]
        while len(chosen) < self.scenario.policy.copies:
            chosen.append(self._emptiest(every, chance, chosen))
        return chosen

    def _emptiest(self, node_ids: list[int], chance: random.Random, taken: Any) -> int:
        """Choose the emptiest of a few nodes."""
        free = [node_id for node_id in node_ids if node_id not in taken]
        some = chance.sample(free, min(5, len(free)))
        return max(some, key=lambda node_id: (self._world.present[node_id].free_b, -node_id))

    def register(self, site: str, rows: int) -> None:
        """Register new files of a site, as a run does after it has read them."""
        recorder = self.recorders[site]
        acq = f"{site}-{self._clock():%Y%m%d}"
        results = []
        for _ in range(rows):
            self.registered += 1
            name = f"{self.registered:08}"
            file = ImportFile(f"{acq}/{name}", acq, name)
            results.append(ImportResult(file, Verdict.HASHED, self.row_b, MD5, self.row_b))
        paths = [result.file.path for result in results]
        found = imports.settle(self.index, recorder.run, recorder.node, results, report=paths)
        assert found.new == rows, found
        for one in found.reported:
            self._world.store(self._world.present[recorder.node.id], one.file_id, self.row_b)
