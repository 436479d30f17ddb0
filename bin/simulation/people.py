"""What happens in the world beside the runs: new files, disks that die, and people who replace them."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial

from alpenhorn.cli.repair import choose_sources
from alpenhorn.edits import clean, lost
from alpenhorn.edits import nodes as edit_nodes
from alpenhorn.edits.requests import create_for
from alpenhorn.scan import topology
from alpenhorn.scan.copies_to_release import ReleaseSelection, to_release
from simulation.archive import Archive
from simulation.scenario import DAY, YEAR, Scenario
from simulation.schedule import Schedule
from simulation.world import Medium, World


class People:
    """The events of the world.  Those of each disk have random numbers of their own, which nothing else changes."""

    def __init__(self, archive: Archive, world: World, schedule: Schedule, seed: int) -> None:
        self._archive = archive
        self._index = archive.index
        self._scenario: Scenario = archive.scenario
        self._world = world
        self._schedule = schedule
        self._seed = seed

    def start(self) -> None:
        """Plan the first event of each kind; each one plans the next of its kind."""
        disks, now = self._scenario.disks, self._schedule.now
        for site in self._archive.recorders:
            begun = random.Random(f"{self._seed} {site}").random()
            self._schedule.call(now, partial(self._record, site, begun))
        for medium in self._world.present.values():
            if disks.deaths_per_year:
                self._plan_death(medium, random.Random(f"{self._seed} {medium.name} death"))
            if disks.absences_per_year:
                self._plan_absence(medium, random.Random(f"{self._seed} {medium.name} absence"))
        if disks.rot_per_year:
            self._plan_rot(random.Random(f"{self._seed} rot"))

    def _record(self, site: str, waiting: float) -> None:
        """Write the new files of a day, and release those that were kept for long enough.

        `waiting`: rows of files that could not be written yet.
        """
        shares = {one.name: one.share for one in self._scenario.sites}
        data = self._scenario.data
        waiting += data.files_per_day / data.files_per_row * shares[site] / sum(shares.values())
        node_id = self._archive.recorders[site].node.id
        medium = self._world.present[node_id]
        rows = min(int(waiting), medium.free_b // self._archive.row_b) if medium.usable else 0
        if rows > 0:
            self._archive.register(site, rows)
        now = self._schedule.utc()
        before = now - timedelta(days=self._scenario.policy.kept_days)
        selection = ReleaseSelection(node_id, at_once=True, before=before)
        self._index.retry(lambda: clean.release(self._index, to_release(selection, now), selection, now))
        self._schedule.call(self._schedule.now + DAY, partial(self._record, site, waiting - rows))

    def _plan_death(self, medium: Medium, chance: random.Random) -> None:
        after = chance.expovariate(self._scenario.disks.deaths_per_year) * YEAR
        self._schedule.call(self._schedule.now + after, partial(self._die, medium, chance))

    def _die(self, medium: Medium, chance: random.Random) -> None:
        self._world.die(medium)
        at = self._schedule.now + self._scenario.disks.replace_days * DAY
        self._schedule.call(at, partial(self._replace, medium, chance))

    def _replace(self, old: Medium, chance: random.Random) -> None:
        """Put an empty disk in the place of a dead one, and do what `alpenhorn node replace` does."""
        index, now = self._index, self._schedule.utc()
        new = self._archive.new_medium(old.node_id, old.name, old.site, old.archive)
        self._world.put(new)
        node = topology.load(index).nodes[old.node_id]
        lost.declare(index, node, lost.medium_state(index, node.id), now)
        edit_nodes.modify(index, node.id, {"active": True}, {}, now, initialise=True)
        nodes = topology.load(index)
        repairs = choose_sources(index, nodes, (node.name,), frozenset(), False, lambda done, of: None)
        for (source_id, node_id), file_ids in repairs.requests.items():
            create_for(index, file_ids, source_id, nodes.nodes[node_id].group_id, now)
        self._plan_death(new, chance)

    def _plan_absence(self, medium: Medium, chance: random.Random) -> None:
        after = chance.expovariate(self._scenario.disks.absences_per_year) * YEAR
        self._schedule.call(self._schedule.now + after, partial(self._unplug, medium.node_id, chance))

    def _unplug(self, node_id: int, chance: random.Random) -> None:
        """Let the disk of a node be away for some time."""
        medium = self._world.present[node_id]
        medium.absent = True
        at = self._schedule.now + self._scenario.disks.absent_days * DAY
        self._schedule.call(at, partial(self._plug_in, medium, chance))

    def _plug_in(self, medium: Medium, chance: random.Random) -> None:
        medium.absent = False
        self._plan_absence(medium, chance)

    def _plan_rot(self, chance: random.Random) -> None:
        # A row rots as a whole, so it does so as rarely as its files together.
        copies = sum(len(medium.files) for medium in self._world.present.values())
        rate = max(copies, 1) * self._scenario.data.files_per_row / 1e6 * self._scenario.disks.rot_per_year
        self._schedule.call(self._schedule.now + chance.expovariate(rate) * YEAR, partial(self._rot, chance))

    def _rot(self, chance: random.Random) -> None:
        """Spoil a copy."""
        medium = self._world.present[chance.choice(sorted(self._world.present))]
        good = sorted(medium.files.keys() - medium.rotten)
        if good and not medium.dead:
            self._world.rot(medium, chance.choice(good))
        self._plan_rot(chance)
