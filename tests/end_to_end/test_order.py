"""The order in which a run pulls: by priority, then by the age of the requests."""

import hashlib
import os

import pytest

from alpenhorn.coordinator.pulls import FIRST_PAGE
from tests.fixtures.archive import WHEN, WRITTEN, stand_in, wait_for

pytestmark = pytest.mark.one_engine

BIG = 64 * 2**20  # in its own job


@pytest.fixture
def nodes(archive):
    archive.node("field")
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    archive.configure(sync={"jobs": 1})
    return archive


def pulled(nodes):
    return nodes.all(
        "SELECT e.file_id, n.name FROM sync_event e JOIN storagenode n ON n.id = e.node_id"
        " WHERE e.what = 'pulled' ORDER BY e.id"
    )


def test_urgent_requests_are_pulled_first_in_all_groups_and_plan_says_so(nodes):
    ids = nodes.files(6, "field", 100)
    into_one = nodes.requests(ids, "field", "one")
    into_two = nodes.requests(ids, "field", "two")
    assert nodes.run("request", "prioritise", str(into_two[3]), "10").status == 0
    assert nodes.run("request", "prioritise", "5", "--group", "one", "--force").status == 0
    assert nodes.run("request", "prioritise", "--", str(into_one[0]), "-1").status == 0
    lines = nodes.run("plan", "--json").json["lines"]
    assert [(line["node"], line["priority"], line["files"]) for line in lines] == [
        ("two", 10, 1),
        ("one", 5, 5),
        ("two", 0, 5),
        ("one", -1, 1),
    ]
    assert "Priority" in nodes.run("plan").out
    nodes.synced("--only", "pull")
    expected = [(ids[3], "two"), *((one, "one") for one in ids[1:])]
    expected += [(one, "two") for one in ids if one != ids[3]] + [(ids[0], "one")]
    assert pulled(nodes) == expected
    assert nodes.violations() == [] and nodes.claims() == 0
    nodes.requests([nodes.file("acq/more", None, "field")], "field", "one")
    nodes.synced("--only", "pull")
    assert nodes.all("SELECT * FROM sync_priority") == []
    assert "Priority" not in nodes.run("plan").out


def test_requests_get_a_priority_when_they_are_made(nodes):
    nodes.files(3, "field")
    late = nodes.file("acq/late", None, "field")
    assert nodes.run("node", "sync", "field", "one", "--acq", "many", "--force").status == 0
    nodes.run("file", "sync", "acq/late", "--from", "field", "--to", "one", "--priority", "3")
    shown = nodes.run("request", "list", "--json").json
    assert [row["priority"] for row in shown] == [0, 0, 0, 3]
    assert "Priority" in nodes.run("request", "show", str(shown[3]["id"])).out
    nodes.run("group", "sync", "two", "field", "--acq", "acq", "--force", "--priority", "-4")
    nodes.synced("--only", "pull")
    assert pulled(nodes)[0] == (late, "one") and pulled(nodes)[-1] == (late, "two")


def test_a_run_in_progress_notices_an_urgent_request(nodes, sshd):
    """Four big files are planned at a time; the last of them waits for the first three pages otherwise."""
    nodes.host("there", address=sshd.address, username=sshd.username)
    nodes.node("far", host="there")
    begun, go = nodes.base / "begun", nodes.base / "go"
    ssh = stand_in(
        nodes.base / "bin",
        "ssh",
        f'touch {begun}\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexec /usr/bin/ssh "$@"',
    )
    nodes.configure(sync={"jobs": 1}, transfer={"ssh": [str(ssh), *sshd.ssh[1:]]})
    acq = nodes.insert("archiveacq", name="big")
    zeros = hashlib.md5(bytes(BIG)).hexdigest()
    (nodes.root("far") / "big").mkdir()
    ids = []
    for number in range(10):
        path = nodes.root("far") / "big" / str(number)
        with path.open("wb") as file:
            file.truncate(BIG)
        os.utime(path, (WRITTEN, WRITTEN))
        ids.append(
            nodes.insert(
                "archivefile", acq_id=acq, name=str(number), size_b=BIG, md5sum=zeros, registered=WHEN
            )
        )
        nodes.set_copy(ids[-1], "far", "YY")
    requests = nodes.requests(ids, "far", "one")
    run = nodes.start("sync", "--only", "pull")
    wait_for(begun.exists, "the first pull to begin")
    assert nodes.run("request", "prioritise", str(requests[-1]), "1").status == 0
    go.touch()
    assert run.result().status == 0
    order = [file_id for file_id, _ in pulled(nodes)]
    assert sorted(order) == ids and order.index(ids[-1]) < 8, order
    assert [one for one in order if one != ids[-1]] == ids[:-1]


def test_groups_take_turns_so_that_many_requests_into_one_hold_up_no_other(nodes):
    ids = nodes.files(6 * FIRST_PAGE, "field")
    nodes.requests(ids, "field", "one")
    nodes.requests(ids[:5], "field", "two")
    nodes.synced("--only", "pull")
    order = [node for _, node in pulled(nodes)]
    assert order.count("one") == 6 * FIRST_PAGE and order.count("two") == 5
    # The second page of the first group is planned while the generation of the other node is written.
    assert order.index("two") <= 3 * FIRST_PAGE
