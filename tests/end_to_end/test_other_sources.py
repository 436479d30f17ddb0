"""Requests whose source cannot be used."""

import pytest

from tests.fixtures.archive import stand_in

pytestmark = pytest.mark.one_engine


@pytest.fixture
def nodes(archive):
    """Nodes `one` and `two`, sources of requests, and node `safe`."""
    archive.node("one")
    archive.node("two")
    archive.node("safe", archive=1)
    archive.configure()
    return archive


def test_of_requests_from_a_dead_and_a_living_source_one_is_done_and_the_other_cancelled(nodes):
    file_id = nodes.file("acq/f", b"bytes", "one", "two")
    first = nodes.request(file_id, "one", "safe")
    nodes.do("UPDATE storagenode SET active = 0 WHERE name = 'one'")
    assert nodes.run("file", "sync", "acq/f", "--from", "two", "--to", "safe").status == 0
    second = nodes.one("SELECT MAX(id) FROM archivefilecopyrequest")
    nodes.sync()
    assert sorted((nodes.state(first), nodes.state(second))) == ["cancelled", "done"]
    assert len(nodes.events("pulled")) == 1
    assert nodes.copy(file_id, "safe") == "YY" and nodes.claims() == 0 and nodes.violations() == []


def test_of_two_requests_from_two_sources_one_is_pulled(nodes):
    file_id = nodes.file("acq/f", b"bytes", "one", "two")
    both = [nodes.request(file_id, source, "safe") for source in ("one", "two")]
    nodes.synced()
    assert [nodes.state(request) for request in both] == ["done", "cancelled"]
    assert len(nodes.events("pulled")) == 1 and nodes.violations() == []


def inactive(nodes, *names):
    for name in names:
        nodes.do("UPDATE storagenode SET active = 0 WHERE name = ?", name)


def history(nodes, what="pulled"):
    return [why for (why,) in nodes.all("SELECT why FROM sync_event WHERE what = ? ORDER BY id", what)]


def test_the_copy_on_another_node_is_used_and_plan_show_and_history_say_why(nodes):
    file_id = nodes.file("acq/f", b"bytes", "one", "two")
    request = nodes.request(file_id, "one", "safe")
    inactive(nodes, "one")
    why = "from another node, not from one: source node one is not active"
    (line,) = nodes.run("plan", "--json").json["lines"]
    assert (line["source"], line["planned"]) == ("two", True) and why in line["why"], line
    shown = nodes.run("request", "show", str(request)).out
    assert "pulled now onto safe from two (copy), not from one: source node one is not active" in shown
    before = nodes.all("SELECT id, file_id, group_to_id, node_from_id FROM archivefilecopyrequest")
    nodes.synced()
    assert nodes.all("SELECT id, file_id, group_to_id, node_from_id FROM archivefilecopyrequest") == before
    assert nodes.state(request) == "done" and nodes.copy(file_id, "safe") == "YY"
    (said,) = history(nodes)
    assert said == f"request {request}: copy from two, not from one: source node one is not active"
    assert nodes.violations() == [] and nodes.claims() == 0


@pytest.mark.parametrize("state", ["XY", "NN", "MY", None])
def test_a_source_without_a_good_copy_is_replaced(nodes, state):
    file_id = nodes.file("acq/f", b"bytes", "two")
    request = nodes.request(file_id, "one", "safe")
    if state:
        nodes.set_copy(file_id, "one", state)
    nodes.synced("--only", "pull")
    assert nodes.state(request) == "done" and nodes.tree("safe") == {"acq/f": b"bytes"}


def test_a_request_is_not_cancelled_while_any_good_copy_exists(nodes):
    file_id = nodes.file("acq/f", b"bytes", "two")
    request = nodes.request(file_id, "one", "safe")
    inactive(nodes, "two")
    waits = nodes.sync().err
    assert "no other good copy can be read now: source node two is not active" in waits
    assert nodes.state(request) == "pending"
    nodes.set_copy(file_id, "one", "YY")
    inactive(nodes, "one")
    shown = nodes.run("request", "show", str(request)).out
    assert (
        "source node one is not active; and no other good copy can be read now: source node two is" in shown
    )
    nodes.do("UPDATE storagenode SET active = 1 WHERE name = 'one'")
    nodes.set_copy(file_id, "one", "NN")
    nodes.set_copy(file_id, "two", "XY")
    nodes.sync()
    assert nodes.state(request) == "cancelled" and nodes.copy(file_id, "safe") is None


def test_of_several_sources_a_released_one_is_the_last(nodes):
    nodes.node("three", host="far", archive=1)
    file_id = nodes.file("acq/f", b"bytes", "one", "two", "three")
    nodes.request(file_id, "one", "safe")
    inactive(nodes, "one")
    nodes.set_copy(file_id, "two", "YN")
    nodes.synced("--only", "pull")  # host far cannot be reached
    (said,) = history(nodes)
    assert "from two, not from one" in said


def test_a_wrong_copy_on_the_other_node_is_found_out_and_the_next_one_is_used(nodes):
    nodes.node("three")
    file_id = nodes.file("acq/f", b"bytes", "one", "two", "three")
    request = nodes.request(file_id, "one", "safe")
    inactive(nodes, "one")
    nodes.put("three", "acq/f", b"wrong")
    nodes.sync("--only", "pull")
    assert nodes.copy(file_id, "three") == "MY"
    copy = nodes.one(
        "SELECT c.id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id WHERE name = 'three'"
    )
    assert nodes.attempt(request) is None
    assert nodes.attempt(copy, "source")[0] == "source"
    # In the same run: the failure delays no other source.
    assert nodes.state(request) == "done" and nodes.tree("safe") == {"acq/f": b"bytes"}
    assert nodes.copy(file_id, "two") == "YY" and nodes.copy(file_id, "one") == "YY"


def test_a_node_of_a_transport_group_takes_no_file_of_another_host_in_its_place(nodes):
    nodes.node("disk", "transport")
    nodes.do("UPDATE storagegroup SET io_class = 'Transport' WHERE name = 'transport'")
    nodes.host("far", address="192.0.2.1", username="u")
    nodes.node("away", host="far", made=False)
    file_id = nodes.file("acq/f", b"bytes", "two")
    nodes.set_copy(file_id, "away", "YY")
    request = nodes.request(file_id, "away", "transport")
    nodes.sync()
    assert nodes.state(request) == "pending"


def down(nodes, name):
    """A stand-in for ssh that cannot reach a host of that address."""
    return stand_in(
        nodes.base / "bin",
        "ssh",
        f'case "$*" in *{name}*) echo "ssh: no route" >&2; exit 255;; esac\nexec /usr/bin/ssh "$@"',
    )


@pytest.fixture
def hosts(nodes, sshd):
    """Host `dead`, which cannot be reached, with node `lost`, and host `there`, with node `far`."""
    nodes.host("dead", address="192.0.2.1", username=sshd.username)
    nodes.host("there", address=sshd.address, username=sshd.username)
    nodes.node("lost", host="dead")
    nodes.node("far", host="there")
    nodes.configure(transfer={"ssh": [str(down(nodes, "192.0.2.1")), *sshd.ssh[1:]]})
    return nodes


def test_if_a_host_cannot_be_reached_the_same_run_pulls_from_another_and_retries_the_host_later(hosts):
    ids = hosts.files(30, "lost")
    for file_id in ids[:20]:
        ((acq, name),) = hosts.all(
            "SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE f.id = ?",
            file_id,
        )
        hosts.put("far", f"{acq}/{name}", (hosts.root("lost") / acq / name).read_bytes())
        hosts.set_copy(file_id, "far", "YY")
    requests = hosts.requests(ids, "lost", "safe")
    result = hosts.sync()
    assert result.status == 1
    assert [hosts.state(request) for request in requests] == ["done"] * 20 + ["pending"] * 10
    assert [row[:2] for row in hosts.held_back()] == [("host", 1)]
    assert len(hosts.tree("safe")) == 20 and hosts.violations() == [] and hosts.claims() == 0
    assert all("from far, not from lost" in why for why in history(hosts))
    # While the host waits for its next attempt, new requests from it are served by the other.
    late = hosts.file("acq/late", b"late", "lost", "far")
    request = hosts.request(late, "lost", "safe")
    hosts.sync()
    assert hosts.state(request) == "done"
    # Then one request tries it, and the dead one counts once more.
    hosts.do("UPDATE sync_backoff SET next = last")
    hosts.sync()
    assert [row[:2] for row in hosts.held_back()] == [("host", 2)]


def test_many_requests_from_a_dead_host_read_the_other_copies_in_few_statements(hosts):
    ids = hosts.files(600, "two")
    hosts.requests(ids, "lost", "safe")
    hosts.do("UPDATE storagehost SET address = NULL WHERE name = 'dead'")
    hosts.synced()
    assert hosts.pending() == 0 and len(hosts.tree("safe")) == 600
    assert len(history(hosts)) == 600
