"""The parts of a simulated world: time, links, disks, and what must never happen."""

from __future__ import annotations

import random
import sqlite3
from typing import Any, cast

import pytest
from simulation.links import CONNECT_SECONDS, STALL_SECONDS, Link, Network
from simulation.report import Report
from simulation.scenario import Links, Scenario, Site
from simulation.schedule import Schedule
from simulation.world import DELETED, DIED, Medium, World

pytestmark = pytest.mark.one_engine

CALM = Links(mbit_s=8, failures=0, outages_per_year=0)  # a million bytes per second


def link(values: Links, end: float = 1e9) -> Link:
    return Link(values, 0.0, end, random.Random(1))


def test_a_link_sends_one_file_after_the_other() -> None:
    one = link(CALM)
    assert [one.send(100, 10**9), one.send(100, 10**9)] == [(1100, 10**9, ""), (2100, 10**9, "")]
    assert one.send(5000, 10**6).end == 5001


def test_a_link_without_a_speed_carries_nothing() -> None:
    sent = link(CALM._replace(mbit_s=0)).send(100, 10**6)
    assert (sent.end, sent.bytes) == (100 + CONNECT_SECONDS, 0) and sent.fault


def test_a_transfer_that_breaks_off_has_sent_a_part_in_the_time_for_it() -> None:
    sent = link(CALM._replace(failures=1)).send(0, 10**9)
    assert 0 < sent.bytes < 10**9 and sent.fault
    assert sent.end == pytest.approx(sent.bytes / 1e6)


def test_an_outage_ends_a_transfer_and_prevents_others_while_it_lasts() -> None:
    one = link(CALM._replace(outages_per_year=1, outage_hours=1))
    begin, end = one.outages[0]
    assert end == begin + 3600
    sent = one.send(begin - 10, 10**9)
    assert (sent.bytes, sent.end) == (pytest.approx(10e6), begin + STALL_SECONDS) and sent.fault
    assert one.send(begin + 1, 10**6).bytes == 0
    assert one.send(end, 10**6) == (end + 1, 10**6, "")


def test_processes_and_events_take_turns_by_the_clock() -> None:
    schedule, said = Schedule(0.0), []

    def process(name: str, step: float) -> None:
        while True:
            schedule.sleep_until(schedule.now + step)
            said.append((schedule.now, name))

    schedule.start(lambda: process("a", 2))
    schedule.start(lambda: process("b", 3))
    schedule.call(5, lambda: said.append((schedule.now, "event")))
    schedule.run(6)
    schedule.end()
    assert said == [(2, "a"), (3, "b"), (4, "a"), (5, "event"), (6, "b"), (6, "a")]
    assert schedule.now == 6


def test_an_error_of_a_process_ends_the_simulation() -> None:
    schedule = Schedule(0.0)

    def process() -> None:
        schedule.sleep_until(1)
        raise ZeroDivisionError

    schedule.start(process)
    with pytest.raises(ZeroDivisionError):
        schedule.run(2)


def world(*sites: str) -> tuple[World, list[Medium]]:
    """Return a world that wants two copies at two sites, and a good copy of file 1 at each of these."""
    found = World(copies=2, sites=2)
    media = [Medium(number, f"n{number}", site, True, 10**12) for number, site in enumerate(sites, 1)]
    for medium in media:
        medium.marked = True
        found.put(medium)
        found.store(medium, 1, 1000)
    return found, media


def test_a_deletion_that_leaves_too_few_copies_is_noted() -> None:
    found, media = world("peak", "town", "town")
    found.delete(media[2], 1)
    assert found.satisfied(1) and found.wrong_deletions == []
    found.delete(media[1], 1)
    assert found.wrong_deletions == [(1, "n2")]
    found.delete(media[0], 1)
    assert found.lost == {1: DELETED}
    assert found.counts() == {"rows": 1, "below": 1, "at risk": 0, "lost": 1}


def test_a_deletion_after_a_disk_died_is_no_fault_until_the_file_is_whole_again() -> None:
    found, media = world("peak", "town", "town")
    found.die(media[0])
    found.delete(media[2], 1)
    assert found.wrong_deletions == [] and not found.satisfied(1)
    new = Medium(1, "n1", "peak", True, 10**12)
    found.put(new)
    found.store(new, 1, 1000)
    found.recovered([1])
    found.delete(media[1], 1)
    assert found.wrong_deletions == [(1, "n2")]
    found.die(new)
    assert found.lost == {1: DIED}


def test_a_request_that_a_much_younger_one_overtook_is_noted() -> None:
    found, media = world("peak", "town")
    new = Medium(3, "n3", "town", True, 10**12)
    new.marked = True
    found.put(new)
    index = sqlite3.connect(":memory:")
    index.executescript("""
        CREATE TABLE storagenode (id, group_id);
        INSERT INTO storagenode VALUES (1, 1), (2, 2), (3, 3);
        CREATE TABLE archivefilecopyrequest
            (id, file_id, node_from_id, group_to_id, timestamp, transfer_completed, completed, cancelled);
        INSERT INTO archivefilecopyrequest VALUES
            (1, 1, 1, 3, '2026-01-01', NULL, 0, 0), (2, 1, 1, 2, '2026-01-20', '2026-01-21', 1, 0);
    """)
    scenario = Scenario(sites=(Site("peak", 1), Site("town", 2)))
    report = Report(scenario, found, Network(), [], cast(Any, index), 0.0)
    assert report.violations() == []
    index.execute("UPDATE archivefilecopyrequest SET timestamp = '2026-02-15' WHERE id = 2")
    assert report.violations() == ["request 1: still pending, although one 30 days younger was done"]
    media[0].absent = True
    assert report.violations() == []
