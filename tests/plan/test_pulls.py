"""The rules for pulls, cell by cell."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method
from alpenhorn.model.tasks import AttemptFact, Blame
from alpenhorn.plan.pulls import Choice
from alpenhorn.plan.routes import LEAST_STREAMED
from alpenhorn.plan.sources import Troubles
from alpenhorn.reasons import Code, code_of
from tests.plan.facts import (
    DESTINATION,
    GROUP_TO,
    HERE,
    MD5,
    NOW,
    SIBLING,
    SOURCE,
    attempt,
    fact,
    node,
    planner,
    remote,
    source,
)


@pytest.mark.parametrize(
    ("at_group", "choice", "why"),
    [
        ((), Choice.PULL, ""),
        (((DESTINATION, "N"),), Choice.PULL, ""),
        (((DESTINATION, "X"),), Choice.PULL, ""),
        (((DESTINATION, "M"),), Choice.WAIT, "checked first"),
        (((DESTINATION, "Y"),), Choice.CANCEL, "already has the file"),
    ],
)
def test_the_state_at_the_destination_decides(
    at_group: tuple[tuple[int, str], ...], choice: Choice, why: str
) -> None:
    decision = planner().decide(fact(at_group=at_group), NOW)
    assert decision.choice is choice
    assert why in decision.why


@pytest.mark.parametrize(("one", "other"), list(itertools.product("YMXN", repeat=2)))
def test_a_groups_state_is_the_best_over_its_nodes_wherever_they_are(one: str, other: str) -> None:
    nodes = (source(), node(), node(SIBLING, host="elsewhere"))
    best = min((one, other), key="YMXN".index)
    expected = {"Y": Choice.CANCEL, "M": Choice.WAIT, "X": Choice.PULL, "N": Choice.PULL}[best]
    at_group = ((DESTINATION, one), (SIBLING, other))
    assert planner(*nodes).decide(fact(at_group=at_group), NOW).choice is expected


@pytest.mark.parametrize(
    ("state", "once_good", "replace"), [("X", True, True), ("N", True, False), ("X", False, False)]
)
def test_only_a_corrupt_copy_that_was_once_good_is_replaced(
    state: str, once_good: bool, replace: bool
) -> None:
    pull = fact(at_group=((DESTINATION, state),), once_good=(DESTINATION,) if once_good else (SIBLING,))
    assert planner().decide(pull, NOW).file().replace is replace


def test_another_object_at_the_path_is_reported_until_it_is_removed() -> None:
    pull = fact(at_group=((DESTINATION, "X"),), found=((DESTINATION, "its MD5 sum is 1"),))
    # Whether it is gone by now is seen where the pull is tried, which replaces nothing.
    tried = planner().decide(pull, NOW)
    assert tried.choice is Choice.PULL and not tried.file().replace
    put_off = planner().decide(pull._replace(attempt=attempt(NOW + 60, "unknown")), NOW)
    assert (put_off.choice, put_off.node_id, put_off.found) == (
        Choice.SKIP,
        DESTINATION,
        "its MD5 sum is 1",
    )
    assert "something else is at its path on node2" in put_off.why and "request retry" in put_off.why
    # On another host's node of the group it is in nobody's way here.
    nodes = (source(), node(), node(SIBLING, host="elsewhere"))
    elsewhere = pull._replace(found=((SIBLING, "why"),), attempt=attempt(NOW + 60, "unknown"))
    assert planner(*nodes).decide(elsewhere, NOW).choice is Choice.WAIT


def test_of_two_files_at_one_path_the_second_is_refused() -> None:
    pull = fact(same_path=((DESTINATION, "acq/dir"),))
    decision = planner().decide(pull, NOW)
    assert (
        decision.choice is Choice.SKIP and "a file of acquisition acq/dir is at the same path" in decision.why
    )
    # Also when the first was once its own good copy, and is corrupt now.
    corrupt = pull._replace(at_group=((DESTINATION, "X"),), once_good=(DESTINATION,))
    assert planner().decide(corrupt, NOW).choice is Choice.SKIP
    assert planner().decide(fact(same_path=((SIBLING, "acq/dir"),)), NOW).choice is Choice.PULL


def test_of_two_files_at_one_path_the_first_is_pulled_and_the_second_waits() -> None:
    plan = planner()
    first = fact(1, acq="acq", name="dir/file")
    second = fact(2, acq="acq/dir", name="file")
    assert plan.decide(first, NOW).choice is Choice.PULL
    waiting = plan.decide(second, NOW)
    assert waiting.choice is Choice.WAIT and "same path" in waiting.why
    assert plan.decide(fact(3, name="dir/other"), NOW).choice is Choice.PULL
    plan.finished(GROUP_TO, first.file_id, DESTINATION, 100, None)
    assert plan.decide(second, NOW).choice is Choice.PULL


def test_a_corrupt_copy_on_another_node_of_the_group_is_nothing_to_be_replaced_here() -> None:
    plan = planner(source(), node(), node(SIBLING, host="elsewhere"))
    assert not plan.decide(fact(at_group=((SIBLING, "X"),)), NOW).file().replace


@pytest.mark.parametrize(
    ("has", "active", "choice"),
    [
        ("Y", True, Choice.PULL),
        ("N", True, Choice.CANCEL),
        (None, True, Choice.CANCEL),
        ("X", True, Choice.CANCEL),
        ("M", True, Choice.WAIT),
        ("Y", False, Choice.SKIP),
        ("N", False, Choice.SKIP),
        (None, False, Choice.SKIP),
        ("X", False, Choice.SKIP),
        ("M", False, Choice.SKIP),
    ],
)
def test_the_state_at_the_source_decides(has: str | None, active: bool, choice: Choice) -> None:
    decision = planner(source(active=active), node()).decide(fact(source_has=has), NOW)
    assert decision.choice is choice
    assert (choice is Choice.PULL) or "node1" in decision.why


def test_the_destination_is_looked_at_before_the_source() -> None:
    plan = planner(source(active=False), node())
    assert plan.decide(fact(at_group=((DESTINATION, "Y"),)), NOW).choice is Choice.CANCEL
    assert plan.decide(fact(at_group=((DESTINATION, "M"),), source_has="X"), NOW).choice is Choice.WAIT


def test_a_request_from_a_node_that_is_gone_from_the_index_is_skipped() -> None:
    for has in ("Y", None):
        decision = planner(node()).decide(fact(source_has=has), NOW)
        assert (decision.choice, decision.why) == (Choice.SKIP, "the source node is not in the index")


class NotReady:
    objects = False

    def ready(self, pull: object) -> bool:
        return False

    def unreachable(self) -> str:
        return ""


@pytest.mark.parametrize("column", [True, False])
def test_only_the_remote_object_decides_whether_a_source_is_ready(column: bool) -> None:
    plan = planner()
    assert plan.decide(fact(source_ready=column), NOW).choice is Choice.PULL
    plan = planner()
    plan.routes.remote = lambda node: NotReady()  # type: ignore[assignment,return-value]
    decision = plan.decide(fact(source_ready=column), NOW)
    assert (decision.choice, decision.why) == (
        Choice.WAIT,
        "not ready to be read on node1 yet; a run on here prepares it",
    )


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"address": None}, "host there has no address"),
        ({"username": None}, "host there has no username"),
        ({"address": ""}, "host there has no address"),
        ({"root": None}, "no root"),
    ],
)
def test_a_source_that_cannot_be_reached_is_named_with_what_is_missing(
    changes: dict[str, None], missing: str
) -> None:
    decision = planner(remote(**changes), node()).decide(fact(), NOW)
    assert decision.choice is Choice.SKIP
    assert "node1" in decision.why
    assert missing in decision.why


def test_no_address_is_needed_on_this_host() -> None:
    plan = planner(source(address=None, username=None), node(address=None, username=None))
    assert plan.decide(fact(), NOW).choice is Choice.PULL


def test_no_address_is_asked_for_where_nothing_crosses_the_network() -> None:
    plan = planner(remote(address=None), node())
    assert plan.decide(fact(at_group=((DESTINATION, "Y"),)), NOW).choice is Choice.CANCEL
    assert plan.decide(fact(source_has="X"), NOW).choice is Choice.CANCEL


@pytest.mark.parametrize("io", [{"io_class": "Unheard"}, {"io_config": "{"}, {"io_config": "[]"}])
def test_a_source_of_unknown_storage_is_skipped_and_the_rest_goes_on(io: dict[str, str]) -> None:
    other = node(SIBLING, group_id=30, host="there")
    plan = planner(remote(**io), node(), other)
    decision = plan.decide(fact(1), NOW)
    assert decision.choice is Choice.SKIP
    assert "node1" in decision.why
    assert plan.decide(fact(2, node_from_id=SIBLING), NOW).choice is Choice.PULL


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size_b": None}, "no length"),
        ({"md5sum": None}, "no MD5 sum"),
        ({"md5sum": ""}, "no MD5 sum"),
        ({"acq": None, "name": None, "size_b": None, "md5sum": None}, "no row for the file"),
        ({"acq": None}, "no row for the file"),
        ({"size_b": -1}, "invalid length"),
        ({"md5sum": "0" * 31}, "invalid length or MD5 sum"),
        ({"md5sum": MD5 + "\n"}, "invalid length or MD5 sum"),
        ({"md5sum": "g" * 32}, "invalid length or MD5 sum"),
        ({"md5sum": "--version" + "0" * 23}, "invalid length or MD5 sum"),
    ],
)
def test_a_file_that_cannot_be_verified_is_not_pulled(changes: dict[str, Any], why: str) -> None:
    decision = planner().decide(fact(**changes), NOW)
    assert decision.choice is Choice.SKIP
    assert why in decision.why


def test_an_upper_case_md5_sum_is_the_same_sum() -> None:
    assert planner().decide(fact(md5sum=MD5.upper()), NOW).file().md5sum == MD5


@pytest.mark.parametrize(
    ("acq", "name"),
    [
        ("..", "x"),
        ("acq", "../../etc/passwd"),
        ("acq", "a/../../b"),
        ("", "x"),
        ("/etc", "passwd"),
        ("acq", "/etc/passwd"),
        ("acq", ""),
        ("acq", "a//b"),
        ("acq", "./a"),
        ("acq", "a/."),
        ("acq", "a\0b"),
        (".alpenhorn", "run.lock"),
        (".alpenhorn.lock", "x"),
        ("ALPENHORN_NODE", "x"),
        ("acq", "é" * 128),
        ("acq", "a" * 256),
        ("acq", "\ud800"),
    ],
)
def test_a_hostile_name_is_skipped_with_a_reason(acq: str, name: str) -> None:
    decision = planner().decide(fact(acq=acq, name=name), NOW)
    assert decision.choice is Choice.SKIP
    assert decision.why


@pytest.mark.parametrize("name", ["-rf", "a:b", "a b", "'\"`$(x)", "a\nb", "é" * 127, "..x", "a" * 255, "*"])
def test_an_odd_name_is_a_name(name: str) -> None:
    decision = planner().decide(fact(name=name), NOW)
    assert decision.choice is Choice.PULL
    assert decision.file().path == f"acq/{name}"


def test_a_file_claimed_by_another_run_waits_and_takes_no_room() -> None:
    plan = planner(free_b=200)
    decision = plan.decide(fact(1, claimed_by="there (run 7)"), NOW)
    assert (decision.choice, decision.why) == (Choice.WAIT, "being pulled by there (run 7)")
    assert plan.decide(fact(2), NOW).choice is Choice.PULL


@pytest.mark.parametrize(("next", "choice"), [(NOW + 1, Choice.WAIT), (NOW, Choice.PULL), (0, Choice.PULL)])
def test_a_failed_attempt_waits_until_its_time(next: float, choice: Choice) -> None:
    assert planner().decide(fact(attempt=attempt(next)), NOW).choice is choice


def test_a_settled_request_is_settled_though_it_waits_or_is_claimed() -> None:
    done = fact(at_group=((DESTINATION, "Y"),), attempt=attempt(NOW + 9), claimed_by="x")
    assert planner().decide(done, NOW).choice is Choice.CANCEL


def test_of_two_requests_for_one_file_the_first_is_done_and_the_second_waits_for_it() -> None:
    plan = planner()
    assert plan.decide(fact(1, file_id=5), NOW).choice is Choice.PULL
    assert plan.decide(fact(2, file_id=5), NOW).choice is Choice.WAIT
    plan.finished(GROUP_TO, 5, DESTINATION, 100, None)
    assert plan.decide(fact(2, file_id=5), NOW).choice is Choice.PULL


def test_the_second_request_is_done_if_the_first_cannot_be() -> None:
    plan = planner(source(active=False), node(), node(SIBLING, group_id=30))
    assert plan.decide(fact(1, file_id=5), NOW).choice is Choice.SKIP
    assert plan.decide(fact(2, file_id=5, node_from_id=SIBLING), NOW).choice is Choice.PULL


def test_one_file_may_go_into_two_groups_at_once() -> None:
    plan = planner(source(), node(), node(SIBLING, group_id=30))
    assert plan.decide(fact(1, file_id=5), NOW).node_id == DESTINATION
    assert plan.decide(fact(2, file_id=5, group_to_id=30), NOW).node_id == SIBLING


def test_a_host_that_cannot_be_reached_is_left_alone_for_the_rest_of_the_run() -> None:
    plan = planner(remote(), node(), node(SIBLING, group_id=30))
    assert plan.decide(fact(1), NOW).choice is Choice.PULL
    plan.trouble_with_host("there", "host there cannot be reached")
    decision = plan.decide(fact(2), NOW)
    assert (decision.choice, decision.why) == (Choice.SKIP, "host there cannot be reached")
    assert plan.decide(fact(3, node_from_id=SIBLING), NOW).choice is Choice.PULL


def test_a_failing_destination_takes_no_more_files_and_stays_a_source() -> None:
    plan = planner(source(), node(), node(SIBLING, group_id=30))
    plan.trouble_at_node(DESTINATION, "node2 could not be written")
    decision = plan.decide(fact(1), NOW)
    assert (decision.choice, decision.why) == (Choice.SKIP, "node2 could not be written")
    assert plan.decide(fact(2, node_from_id=DESTINATION, group_to_id=30), NOW).choice is Choice.PULL


def test_failures_last_beyond_the_round() -> None:
    troubles = Troubles()
    planner(troubles=troubles).trouble_at_node(DESTINATION, "no")
    assert planner(troubles=troubles).decide(fact(), NOW).choice is Choice.SKIP


def test_a_node_of_this_host_that_is_absent_is_no_source() -> None:
    plan = planner()
    assert plan.decide(fact(1), NOW).choice is Choice.PULL
    plan.node_absent(SOURCE, "not mounted")
    decision = plan.decide(fact(2), NOW)
    assert (decision.choice, decision.why) == (Choice.SKIP, "source node node1: not mounted")


def test_a_group_without_a_node_that_can_be_worked_on_takes_nothing() -> None:
    decision = planner(groups={}).decide(fact(), NOW)
    assert decision.choice is Choice.SKIP
    assert "no usable node on this host" in decision.why


@pytest.mark.parametrize(
    ("source_archive", "archive", "configured", "method"),
    [
        (False, False, Method.COPY, Method.LINK),
        (True, False, Method.COPY, Method.COPY),
        (False, True, Method.COPY, Method.COPY),
        (True, True, Method.COPY, Method.COPY),
        (False, False, Method.RSYNC, Method.RSYNC),
        (True, True, Method.RSYNC, Method.RSYNC),
    ],
)
def test_a_hard_link_is_never_planned_with_an_archive_node_on_either_side(
    source_archive: bool, archive: bool, configured: Method, method: Method
) -> None:
    plan = planner(source(archive=source_archive), node(archive=archive), method=configured)
    assert plan.decide(fact(), NOW).method is method


@pytest.mark.parametrize(("bbcp", "method"), [(False, Method.RSYNC_SSH), (True, Method.BBCP)])
@pytest.mark.parametrize("archive", [False, True])
def test_files_of_another_host_are_fetched(bbcp: bool, method: Method, archive: bool) -> None:
    plan = planner(remote(archive=archive), node(archive=archive), bbcp=bbcp)
    assert plan.decide(fact(), NOW).method is method


@pytest.mark.parametrize(
    ("size_b", "bbcp", "method"),
    [
        (0, False, Method.TAR),
        (2**20, False, Method.TAR),
        (2**20 + 1, False, Method.RSYNC_SSH),
        (2**20, True, Method.BBCP),
    ],
)
def test_small_files_of_another_host_are_fetched_as_a_tar_stream(
    size_b: int, bbcp: bool, method: Method
) -> None:
    plan = planner(remote(), node(), bbcp=bbcp, tar=True)
    assert plan.decide(fact(size_b=size_b), NOW).method is method


@pytest.mark.parametrize(
    ("streams", "size_b", "bbcp", "method"),
    [
        (4, LEAST_STREAMED, False, Method.STREAMS),
        (4, LEAST_STREAMED - 1, False, Method.RSYNC_SSH),
        (1, LEAST_STREAMED, False, Method.RSYNC_SSH),
        (4, LEAST_STREAMED, True, Method.BBCP),
    ],
)
def test_big_files_of_another_host_are_fetched_in_several_streams(
    streams: int, size_b: int, bbcp: bool, method: Method
) -> None:
    plan = planner(remote(), node(), bbcp=bbcp, streams=streams, free_b=3 * LEAST_STREAMED)
    assert plan.decide(fact(size_b=size_b), NOW).method is method


def test_big_files_of_this_host_are_not_fetched_in_several_streams() -> None:
    plan = planner(streams=4, free_b=3 * LEAST_STREAMED)
    assert plan.decide(fact(size_b=LEAST_STREAMED), NOW).method is Method.LINK


def test_bbcp_and_tar_are_not_used_on_this_host() -> None:
    assert planner(bbcp=True, tar=True).decide(fact(), NOW).method is Method.LINK


def test_files_that_do_not_fit_are_skipped_and_smaller_ones_behind_them_are_pulled() -> None:
    plan = planner(free_b=1000)
    assert plan.decide(fact(1, size_b=501), NOW).choice is Choice.SKIP
    assert plan.decide(fact(2, size_b=300), NOW).choice is Choice.PULL
    assert plan.decide(fact(3, size_b=300), NOW).choice is Choice.SKIP
    assert plan.decide(fact(4, size_b=200), NOW).choice is Choice.PULL
    skipped = plan.decide(fact(5, size_b=1), NOW)
    assert skipped.choice is Choice.SKIP
    assert "node2" in skipped.why


def test_a_failed_pull_returns_its_room() -> None:
    plan = planner(free_b=200)
    first = plan.decide(fact(1), NOW)
    assert first.reserved_b == 200
    assert plan.decide(fact(2), NOW).choice is Choice.SKIP
    plan.finished(GROUP_TO, first.fact.file_id, DESTINATION, 100, None)
    assert plan.decide(fact(3), NOW).choice is Choice.PULL


def test_a_full_node_does_not_keep_a_file_from_being_brought_by_the_next_request() -> None:
    """A request that finds no room must not count as pulling its file."""
    plan = planner(free_b=200)
    first = plan.decide(fact(1), NOW)
    assert plan.decide(fact(2, file_id=7), NOW).choice is Choice.SKIP
    plan.finished(GROUP_TO, first.fact.file_id, DESTINATION, 100, None)
    assert plan.decide(fact(3, file_id=7), NOW).choice is Choice.PULL


CLOUD = {"io_class": "Rclone", "io_config": '{"remote": "s3:bucket"}'}


@pytest.mark.parametrize(
    ("from_", "to", "why"),
    [
        (source(host=HERE, **CLOUD), node(), ""),
        (source(host=HERE), node(**CLOUD), ""),
        (source(host="elsewhere", **CLOUD), node(), ""),
        (source(host=None, **CLOUD), node(), "no host"),
    ],
)
def test_objects_come_from_and_go_to_directories_of_their_host(
    from_: NodeFact, to: NodeFact, why: str
) -> None:
    method = Method.OBJECTS if to.io_class else Method.COPY
    decision = planner(from_, to, method=method).decide(fact(), NOW)
    assert why in decision.why
    assert decision.choice is (Choice.SKIP if why else Choice.PULL)
    if not why:
        assert decision.method is Method.OBJECTS


@pytest.mark.parametrize(
    ("from_", "to", "method", "staged"),
    [
        (source(host=HERE), node(**CLOUD), Method.OBJECTS, False),
        (remote(), node(**CLOUD), Method.TAR, True),
        (source(host=HERE, **CLOUD), node(**CLOUD), Method.OBJECTS, True),
        (remote(**CLOUD), node(**CLOUD), Method.OBJECTS, True),
        (remote(**CLOUD), node(), Method.OBJECTS, False),
        (remote(), node(), Method.TAR, False),
    ],
)
def test_files_of_other_places_become_objects_through_a_stage(
    from_: NodeFact, to: NodeFact, method: Method, staged: bool
) -> None:
    local = Method.OBJECTS if to.io_class else Method.COPY
    decision = planner(from_, to, method=local, tar=True).decide(fact(), NOW)
    assert (decision.choice, decision.method, decision.staged) == (Choice.PULL, method, staged)


def test_objects_of_another_host_do_not_wait_for_sessions_with_it() -> None:
    """They are read here.  Failures of the node itself count."""
    cloud = source(host="elsewhere", **CLOUD)
    plan = planner(cloud, node())
    plan.trouble_with_host("elsewhere", Code.HOST_SILENT(error="refused"))
    plan.troubles.held["elsewhere"] = (
        AttemptFact(1, NOW, NOW + 60, Blame.NETWORK, ""),
        Code.HOST_SILENT(error="x"),
    )
    assert plan.decide(fact(1), NOW).choice is Choice.PULL
    plan.troubles.held[cloud.id] = (
        AttemptFact(1, NOW, NOW + 60, Blame.NETWORK, ""),
        Code.SOURCE_UNSEEN(error="x"),
    )
    assert code_of(plan.decide(fact(2), NOW).why) is Code.SOURCE_UNSEEN
    plan.trouble_with_source(cloud.id, Code.SOURCE_UNSEEN(error="y"))
    assert plan.decide(fact(3), NOW).why == "y"
