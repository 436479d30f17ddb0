"""Deletions keep what policies ask for, as it is when they are decided."""

from __future__ import annotations

import datetime

import pytest

from alpenhorn.edits import policies as edit_policy
from alpenhorn.edits.policies import PolicyLists
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.plan.deletions import spare_keepers
from alpenhorn.reasons import Reason
from alpenhorn.record.deletions import DecidedDeletions, claim
from alpenhorn.record.run import Run
from alpenhorn.scan.deletions import pages
from tests.fixtures.rows import THERE, WHEN, Rows

pytestmark = pytest.mark.cluster

NOW = WHEN.replace(tzinfo=datetime.UTC).timestamp()
EVIDENCE = Evidence()


def policy(rows: Rows, name: str = "p", copies: int = 2, sites: int = 1, **lists: list[str]) -> None:
    """A policy; `lists`: patterns, and names of groups."""
    groups = {
        key: [rows.group[name] for name in lists[key]] for key in ("groups", "required") if key in lists
    }
    edit_policy.create(
        rows.index,
        {"name": name, "copies": copies, "sites": sites, "min_age": 0, "priority": 0},
        PolicyLists(acqs=lists.get("acqs"), **groups),
    )


def queued(rows: Rows, node: str = "field") -> list[DeletionFact]:
    return [fact for page in pages(rows.index, rows.node[node], "Y", "N", 100) for fact in page]


def decided(
    rows: Rows, run: Run, node: str = "field", copies: list[DeletionFact] | None = None
) -> DecidedDeletions:
    some = queued(rows, node) if copies is None else copies
    return claim(rows.index, run, rows.fact(node), some, EVIDENCE, NOW)


def kept(rows: Rows, run: Run, node: str = "field") -> Reason:
    """Why the only released copy on the node is kept."""
    found = decided(rows, run, node)
    assert not found.granted
    ((_, why),) = found.refused
    return why


def released(rows: Rows, *good: str) -> int:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    for node in good:
        rows.copy(file_id, node, "YY")
    return file_id


def test_a_field_copy_stays_until_there_are_good_copies_at_two_sites(rows: Rows, run: Run) -> None:
    policy(rows, copies=2, sites=2)
    file_id = released(rows, "one", "two")  # both on this host
    assert kept(rows, run) == "policy p needs another site; see: alpenhorn policy check"
    # A copy at the other site that is not good does not count.
    copy = rows.copy(file_id, "one_too", "MY")
    assert kept(rows, run).code == "policy-needs-copy"
    rows.do("UPDATE archivefilecopy SET has_file = 'Y' WHERE id = ?", copy)
    ((fact, _),) = decided(rows, run).granted
    # The worker looks at the keepers: of those at one site both may fail, of the other site none.
    assert spare_keepers(fact, archive=False, minimum=2) == 0


def test_sites_are_those_of_nodes_and_hosts_as_they_are_now(rows: Rows, run: Run) -> None:
    policy(rows, copies=2, sites=2)
    released(rows, "one", "one_too")
    for host in ("here", "there"):
        host_id = rows.all("SELECT id FROM storagehost WHERE name = ?", host)[0][0]
        rows.insert("sync_host", host_id=host_id, site="town")
    copies = queued(rows)
    assert kept(rows, run).code == "policy-needs-copy"
    rows.insert("sync_node", node_id=rows.node["one"], site="vault", compared=0, event_id=0, files=0)
    assert len(decided(rows, run, copies=copies).granted) == 1


def test_each_matching_policy_counts_and_the_default_for_the_rest(rows: Rows, run: Run) -> None:
    policy(rows, "default", copies=3)
    released(rows, "one", "two")
    assert "policy default needs 1 more copy" in kept(rows, run)
    policy(rows, "other", copies=7, acqs=["acq2*"])
    assert "policy default needs 1 more copy" in kept(rows, run)
    policy(rows, "mine", copies=1, acqs=["nope", "ac?"])
    policy(rows, "both", copies=1, required=["field"])
    assert "policy both needs a copy in group field" in kept(rows, run)
    rows.do("DELETE FROM sync_policy WHERE name = 'both'")
    policy(rows, "few", copies=2, groups=["one"])
    assert "policy few needs 1 more copy" in kept(rows, run)
    rows.do("DELETE FROM sync_policy WHERE name = 'few'")
    assert len(decided(rows, run).granted) == 1


def test_a_policy_never_lowers_the_number_of_the_configuration(rows: Rows, run: Run) -> None:
    policy(rows, "one is enough", copies=1)
    released(rows, "one")
    assert kept(rows, run).code == "too-few-archive-copies"


@pytest.mark.parametrize("column", ["copies", "sites"])
def test_nothing_is_deleted_while_a_policy_has_an_invalid_row(sqlite_rows: Rows, column: str) -> None:
    rows = sqlite_rows
    policy(rows, acqs=["another"])
    released(rows, "one", "two")
    run = rows.begin()
    rows.do(f"UPDATE sync_policy SET {column} = 'many'")
    assert decided(rows, run).granted == []
    rows.do(f"UPDATE sync_policy SET {column} = -1")
    assert kept(rows, run).code == "policy-invalid"


def test_of_archive_copies_released_at_once_those_that_are_needed_stay(rows: Rows) -> None:
    policy(rows, copies=2, sites=2)
    file_id = rows.file("a")
    nodes = ("two", "one", "one_too")
    for node in nodes:
        rows.copy(file_id, node, "YN")
    queues = {node: queued(rows, node) for node in nodes}
    granted = {}
    for node in nodes:
        run = rows.begin(THERE if node == "one_too" else "here")
        granted[node] = len(decided(rows, run, node, queues[node]).granted)
    # The first on this host may go; the copy at the other site never, although two copies would remain.
    assert granted == {"two": 1, "one": 0, "one_too": 0}


def test_the_copy_at_the_only_other_site_stays_although_enough_copies_remain(rows: Rows, run: Run) -> None:
    policy(rows, copies=2, sites=2)
    file_id = rows.file("a")
    rows.copy(file_id, "one_too", "YN")
    for node in ("one", "two"):
        rows.copy(file_id, node, "YY")
    assert "needs another site" in kept(rows, run, "one_too")


def test_a_policy_that_is_created_after_a_deletion_was_queued_is_kept(rows: Rows, run: Run) -> None:
    released(rows, "one", "two")
    copies = queued(rows)
    policy(rows, copies=3)
    assert decided(rows, run, copies=copies).granted == []
