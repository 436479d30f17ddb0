"""A whole simulation: the world, its people and hosts, and the results."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation.archive import Archive
from simulation.hosts import Host
from simulation.links import Link, Network
from simulation.people import People
from simulation.report import Report, Sample
from simulation.scenario import DAY, YEAR, Scenario
from simulation.schedule import Schedule
from simulation.work import Workers
from simulation.world import World

START = 1_767_225_600.0  # 2026-01-01
MONTH = YEAR / 12


def simulate(
    scenario: Scenario,
    years: float,
    seed: int,
    directory: Path,
    progress: Callable[[Sample], None] = lambda sample: None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Simulate a scenario, and return the results; the index is in `directory`.

    `progress`: is called with each month.  Ends early, after a whole day, once `may_go_on` returns False.
    """
    random.seed(
        seed
    )  # of alpenhorn's own choices: where a check of all copies begins, and which copies are a sample
    end = START + years * YEAR
    schedule = Schedule(START)
    world = World(scenario.policy.copies, scenario.policy.sites)
    network = Network()
    for source in scenario.sites:
        for to in scenario.sites:
            if source != to:
                # Both directions of a link fail together.
                chance = random.Random(f"{seed} {sorted((source.name, to.name))}")
                values = scenario.link(source.name, to.name)
                network.add(source.name, to.name, Link(values, START, end, chance))
    archive = Archive(directory, scenario, world, schedule.utc)
    archive.fill(random.Random(f"{seed} files"))
    People(archive, world, schedule, seed).start()
    workers = Workers(world, network, schedule, scenario.nodes.disk_mb_s * 1e6)
    hosts = [
        # Not all at the same time, as the clocks of cron differ.
        Host(site.name, number * 60.0, archive, world, schedule)
        for number, site in enumerate(scenario.sites)
    ]
    for host in hosts:
        schedule.start(lambda host=host: host.live(workers))  # type: ignore[misc]
    report = Report(scenario, world, network, hosts, archive.index, START)
    try:
        month = (end - START) / max(1, round((end - START) / MONTH))
        while schedule.now < end and may_go_on():
            sample_at = report.last + month
            while schedule.now < sample_at - 1 and may_go_on():
                schedule.run(min(schedule.now + DAY, sample_at))
                report.end_day()
            progress(report.sample(schedule.now))
        return report.document(schedule.now)
    finally:
        schedule.end()
        archive.index.close()
