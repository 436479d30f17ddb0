"""An index on a Galera cluster, whose servers do not know each other's locks: two claims on two copies of one file.

Two of three copies are released on two hosts, each of which writes through its own server; only one may be deleted.
Or one host deletes a copy from which another pulls in place of the requested source; only one of them may.
"""

from __future__ import annotations

import datetime
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

import pytest

from alpenhorn.edits.pins import pin
from alpenhorn.errors import IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import OtherSource
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.record.claims import COLUMNS
from alpenhorn.record.claims import claim as claim_pulls
from alpenhorn.record.copies import once_good
from alpenhorn.record.deletions import claim
from alpenhorn.record.run import Run
from alpenhorn.scan.deletions import pages
from tests.coordinator.test_policies_at_size import HOSTS, Fleet, file_as
from tests.fixtures.archive import wait_for
from tests.fixtures.claims import wanted as want
from tests.fixtures.galera import GaleraServer
from tests.fixtures.racing import racing
from tests.fixtures.rows import WHEN, Rows
from tests.fixtures.seen import mark_seen
from tests.index.test_lent import Package
from tests.record.waiting import await_a_waiter

NOW = WHEN.replace(tzinfo=datetime.UTC).timestamp()
FILES = 100
ROUNDS = 12
RELEASED = ("one", "one_too")
KEEPER = "two"
ONE, TWO = Evidence(minimum=1), Evidence(minimum=2)
REQUESTED = "SELECT COUNT(*) FROM archivefilecopyrequest"
CLAIMED = "SELECT COUNT(*) FROM sync_claim"
# Files that one host deletes while the other pulls them from there.
BOTH = """
    SELECT COUNT(*) FROM sync_claim d JOIN sync_claim p ON p.file_id = d.file_id AND p.source_id = d.node_id
    WHERE d.kind = 'delete' AND p.kind = 'pull'
"""
LEFT = "SELECT SUM(has_file = 'Y') FROM archivefilecopy GROUP BY file_id"


def clock() -> datetime.datetime:
    return WHEN


def host(
    url: str, run: Run, node: NodeFact, start: Barrier, rounds: int, alone: bool, evidence: Evidence
) -> None:
    """Claim released copies on the node; `alone`: the mutant, which treats the server as the only one."""
    index = Index.open(url)
    for _ in range(rounds):
        start.wait(60)
        (copies,) = pages(index, node.id, "Y", "N", 1000)
        if alone:
            index.db.galera = False
        start.wait(60)
        claim(index, run, node, copies, evidence, NOW)
        start.wait(60)
    index.close()


def reader(url: str, run: Run, wanted: list[PullDecision], start: Barrier, rounds: int, alone: bool) -> None:
    """Claim pulls from released copies in place of the requested source; `alone`: as for `host`."""
    index = Index.open(url)
    for _ in range(rounds):
        start.wait(60)
        if alone:
            index.db.galera = False
        start.wait(60)
        claim_pulls(index, run, wanted)
        start.wait(60)
    index.close()


def race(
    urls: tuple[str, str],
    rounds: int,
    alone: bool = False,
    pulling: bool = False,
    evidence: Evidence = TWO,
    policy: bool = False,
) -> list[int]:
    """Return the number of copies left of each file when two hosts claim their released copies at once.

    `policy`: there is one that wants two copies.

    `pulling`: one of the hosts pulls from the copies of the other instead, and the numbers are those of the files that
    both of them claimed, in each round.
    """
    index = Index.open(urls[0])
    create(index)
    rows = Rows(index)
    if policy:
        rows.insert("sync_policy", name="two", copies=2, sites=1, min_age=0, priority=0)
    wanted: list[PullDecision] = []
    with index.transaction():
        for name in range(FILES):
            file_id = rows.file(str(name))
            for node in (*RELEASED, KEEPER):
                released = node in RELEASED[:1] if pulling else node in RELEASED
                copy_id = rows.copy(file_id, node, "YN" if released else "YY")
                if node == RELEASED[0]:
                    request_id = rows.request(file_id, group="field")
                    source = OtherSource(rows.node[node], copy_id, True, True)
                    wanted.append(
                        want(rows, request_id, file_id, "field")._replace(
                            source=rows.fact(node), other=source
                        )
                    )
    runs = [rows.begin(name)._replace(clock=clock) for name in RELEASED]
    nodes = [rows.fact(node) for node in RELEASED]
    index.disconnect()
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(len(RELEASED) + 1)
    hosts = [
        fork.Process(target=host, args=(url, run, node, start, rounds, alone, evidence))
        for url, run, node in zip(urls, runs, nodes, strict=True)
    ]
    if pulling:
        hosts[1] = fork.Process(target=reader, args=(urls[1], runs[1], wanted, start, rounds, alone))
    left: list[int] = []
    other = Index.open(urls[1])
    other.disconnect()  # before the processes are forked
    with closing(index), closing(other), racing(hosts):
        for _ in range(rounds):
            rows.do("SET SESSION wsrep_sync_wait = 3")  # also delete what the other server has just written
            rows.do("DELETE FROM sync_claim")
            rows.do("UPDATE archivefilecopy SET has_file = 'Y'")
            for name in (*RELEASED, KEEPER):
                mark_seen(index, rows.node[name])
            wait_for(
                lambda: (
                    [int(row[0]) for row in other.execute(LEFT).fetchall()] == [3] * FILES
                    and other.execute(CLAIMED).fetchone() == (0,)
                    and other.execute("SELECT MAX(seen) FROM sync_medium").fetchone()
                    == index.execute("SELECT MAX(seen) FROM sync_medium").fetchone()
                ),
                "the other server",
            )
            for _ in range(3):
                start.wait(60)
            other.execute("SET SESSION wsrep_sync_wait = 1")
            left += [int(row[0]) for row in other.execute(BOTH if pulling else LEFT).fetchall()]
            other.execute("SET SESSION wsrep_sync_wait = 0")
    return left


def filer(url: str, host: str, start: Barrier, rounds: int, alone: bool) -> None:
    """Create the requests that a policy wants; `alone`: the mutant, which changes a row of its own for the lock."""
    index = Index.open(url)
    execute = index.execute

    def with_own_row(sql: str, params: Sequence[Any] = ()) -> Any:
        return execute(sql, (f"{host}'s", *params[1:]) if params[:1] == ("policy requests",) else params)

    if alone:
        index.execute = with_own_row  # type: ignore[method-assign]
    for _ in range(rounds):
        start.wait(60)
        file_as(index, host)
        start.wait(60)
    index.close()


def race_of_policies(urls: tuple[str, str], rounds: int, alone: bool = False) -> list[int]:
    """Return the number of requests in each round, after two hosts have compared all files with a policy at once."""
    index, other = Index.open(urls[0]), Index.open(urls[1])
    create(index)
    Fleet(index, FILES).policy(2, 1)
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(3)
    hosts = [
        fork.Process(target=filer, args=(url, name, start, rounds, alone))
        for url, name in zip(urls, HOSTS, strict=False)
    ]
    other.disconnect()
    index.disconnect()
    found: list[int] = []
    with closing(index), closing(other), racing(hosts):
        for _ in range(rounds):
            # Also delete what the other server has just written.
            index.execute("SET SESSION wsrep_sync_wait = 3")
            index.execute("DELETE FROM sync_policy_sweep")
            index.execute("DELETE FROM archivefilecopyrequest")
            wait_for(lambda: other.execute(REQUESTED).fetchone() == (0,), "the other server")
            start.wait(60)
            start.wait(60)
            other.execute("SET SESSION wsrep_sync_wait = 1")
            found.append(int(other.value(REQUESTED)))
            other.execute("SET SESSION wsrep_sync_wait = 0")
    return found


def test_two_hosts_that_delete_through_two_servers_leave_the_minimum(galera_urls: tuple[str, str]) -> None:
    """Fault 14."""
    assert race(galera_urls, ROUNDS) == [2] * ROUNDS * FILES


def test_a_policy_that_wants_more_than_the_minimum_is_kept_as_well(galera_urls: tuple[str, str]) -> None:
    assert race(galera_urls, ROUNDS, evidence=ONE, policy=True) == [2] * ROUNDS * FILES


def test_the_same_race_without_a_row_in_common_loses_copies(galera_urls: tuple[str, str]) -> None:
    # More rounds, since the two may miss each other on a busy machine.
    assert min(race(galera_urls, 5 * ROUNDS, alone=True)) < 2


def test_a_copy_is_not_deleted_while_it_is_read_through_another_server(galera_urls: tuple[str, str]) -> None:
    assert race(galera_urls, ROUNDS, pulling=True) == [0] * ROUNDS


def test_the_same_without_a_row_in_common_deletes_what_is_read(galera_urls: tuple[str, str]) -> None:
    assert max(race(galera_urls, 5 * ROUNDS, alone=True, pulling=True)) > 0


def test_two_hosts_request_what_a_policy_wants_once(galera_urls: tuple[str, str]) -> None:
    assert race_of_policies(galera_urls, ROUNDS) == [FILES] * ROUNDS


def test_the_same_without_a_row_in_common_requests_too_much(galera_urls: tuple[str, str]) -> None:
    assert max(race_of_policies(galera_urls, 5 * ROUNDS, alone=True)) > FILES


def test_a_cluster_is_distinguished_from_a_single_server(
    galera_urls: tuple[str, str], mariadb_index_url: str, sqlite_index_url: str
) -> None:
    for url, cluster in ((galera_urls[1], True), (mariadb_index_url, False), (sqlite_index_url, False)):
        with closing(Index.open(url, create=True)) as index:
            assert index.galera is cluster
            assert index.galera is cluster


BACKLOG = 300_000  # rows that the other server applies before it sees what was committed after them
FILLED = "INSERT INTO filler SELECT seq FROM seq_1_to_{rows}"


class Behind(NamedTuple):
    """A released copy and the keeper on which its deletion relies, seen through two servers."""

    first: Index
    second: Index
    rows: Rows
    run: Run
    file_id: int
    keeper_copy: int


@pytest.fixture
def behind(galera_urls: tuple[str, str]) -> Iterator[Behind]:
    with closing(Index.open(galera_urls[0])) as first, closing(Index.open(galera_urls[1])) as second:
        create(first)
        first.execute("CREATE TABLE filler (id INT NOT NULL PRIMARY KEY) ENGINE = InnoDB")
        rows = Rows(first)
        file_id = rows.file("0")
        rows.copy(file_id, "one", "YN")
        keeper_copy = rows.copy(file_id, KEEPER, "YY")
        run = rows.begin("one")._replace(clock=clock)
        for name in ("one", KEEPER):
            mark_seen(first, rows.node[name])
        yield Behind(first, second, rows, run, file_id, keeper_copy)


def claimed_after_the_keeper_went_bad(behind: Behind) -> int:
    """Return the number of deletions claimed through the second server, just after the first has recorded that the
    keeper is corrupt, while the second still applies what was committed before."""
    node = behind.rows.fact("one")
    (copies,) = pages(behind.second, node.id, "Y", "N", 1000)
    behind.first.execute(FILLED.format(rows=BACKLOG))
    behind.first.execute("UPDATE archivefilecopy SET has_file = 'X' WHERE id = ?", (behind.keeper_copy,))
    return len(claim(behind.second, behind.run, node, copies, ONE, NOW).granted)


def test_a_keeper_that_went_bad_at_another_server_lets_nothing_go(behind: Behind) -> None:
    assert claimed_after_the_keeper_went_bad(behind) == 0


def test_the_same_without_waiting_for_the_other_server_relies_on_it(behind: Behind) -> None:
    behind.second.execute("SET SESSION wsrep_sync_wait = 0")
    assert claimed_after_the_keeper_went_bad(behind) == 1


def claimed_while_pinned(behind: Behind, urls: tuple[str, str], watch: Any) -> int:
    """Return the number of deletions claimed through the second server, of a file that is pinned through the first one
    after the claim has read the pins, and before it is committed."""
    node = behind.rows.fact("one")
    (copies,) = pages(behind.second, node.id, "Y", "N", 1000)
    granted: list[int] = []

    def delete() -> None:
        with closing(Index.open(urls[1])) as index:
            granted.append(len(claim(index, behind.run, node, copies, ONE, NOW).granted))

    thread = threading.Thread(target=delete)
    # What the claim writes last waits for this.
    behind.second.db.begin()
    behind.second.execute(
        f"INSERT INTO sync_claim ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
        ("delete", behind.file_id, node.id, node.id, 0, "other", behind.run.id, WHEN, 1, None),
    )
    thread.start()
    await_a_waiter(watch, thread)
    pin(behind.first, behind.rows.named(behind.file_id), 0, None, None, WHEN)
    behind.second.db.rollback()
    thread.join()
    return granted[0]


def test_a_claim_that_read_the_pins_before_another_one_decides_again(
    behind: Behind, galera_urls: tuple[str, str], galera: tuple[GaleraServer, GaleraServer]
) -> None:
    with closing(galera[1].connect()) as watch:
        assert claimed_while_pinned(behind, galera_urls, watch) == 0


def test_the_same_without_a_row_in_common_deletes_what_is_pinned(
    behind: Behind, galera_urls: tuple[str, str], galera: tuple[GaleraServer, GaleraServer]
) -> None:
    behind.first.execute("SELECT 1")
    behind.first.db.galera = False  # until the next session
    with closing(galera[1].connect()) as watch:
        assert claimed_while_pinned(behind, galera_urls, watch) == 1


def test_the_connection_of_a_package_waits_for_the_cluster_too(galera_urls: tuple[str, str]) -> None:
    index = Package(galera_urls[0]).open()
    for _ in range(2):
        assert index.galera and index.value("SELECT @@wsrep_sync_wait") == 1
        index.disconnect()
        assert index.value("SELECT @@wsrep_sync_wait") == 1
    index.close()


def test_work_waits_for_a_server_that_has_lost_the_majority(
    galera: tuple[GaleraServer, GaleraServer], behind: Behind
) -> None:
    waits = []

    def come_back() -> None:
        """Let the other server go on once the index waits."""
        waits.append(True)
        galera[0].go_on()

    with galera[1].suspecting_soon(), galera[0].stopped():
        wait_for(lambda: not galera[1].is_ready(), "the loss of the majority")
        with pytest.raises(IndexUnusable, match="WSREP"), behind.second.impatient():
            behind.second.value(CLAIMED)
        behind.second.on_wait = come_back
        behind.second.retry(lambda: once_good(behind.second, behind.rows.node[KEEPER], [behind.file_id]))
        assert waits
        wait_for(lambda: galera[0].is_ready(), "the other server")
    assert behind.first.value("SELECT COUNT(*) FROM sync_verification") == 1
