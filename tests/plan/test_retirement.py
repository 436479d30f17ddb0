"""Which files of a retired node are requested elsewhere, from where, and into which groups."""

import pytest

from alpenhorn.model.retirement import CopyElsewhere, PendingRequest, RetiringCopy, RetiringFile
from alpenhorn.plan.retirement import RetirementPlanner
from alpenhorn.reasons import Code, code_of
from tests.plan import facts

R, A, B, C, FIELD, OFF, OUT = range(1, 8)


def node(id, group, **columns):
    return facts.node(id, group_id=group, **{"archive": True, **columns})


# A and B are alone in groups 1 and 2, C is in the group of the retired node, 3.
NODES = {
    one.id: one
    for one in (
        node(R, 3, retired=True),
        node(A, 1),
        node(B, 2),
        node(C, 3),
        node(FIELD, 4, archive=False),
        node(OFF, 5, active=False),
        node(OUT, 6, retired=True),
    )
}


def decide(here="Y", copies="", requests=(), groups=(1, 2), minimum=2):
    """`copies`: such as "2YY 5MY", of the node with that id; `requests`: (group, source)."""
    elsewhere = tuple(CopyElsewhere(int(text[0]), text[1], text[2]) for text in copies.split())
    file = RetiringFile(
        RetiringCopy(1, 1, here, "Y", 10, 0),
        elsewhere,
        tuple(PendingRequest(*request) for request in requests),
    )
    return RetirementPlanner(R, NODES, groups, minimum).decide(file)


@pytest.mark.parametrize(
    ("copies", "groups"),
    [
        ("", (1, 2)),
        (f"{A}YY", (2,)),
        (f"{A}YY {B}YM", ()),
        (f"{A}MY", (1, 2)),
        (f"{A}YN", (2,)),  # it goes, but a pull into its group would find it
        (f"{FIELD}YY {OFF}YY {OUT}YY", (1, 2)),
        (f"{C}YY", (1,)),
    ],
)
def test_as_many_copies_are_requested_as_are_missing_where_they_count(copies, groups):
    assert (decide(copies=copies).source_id, decide(copies=copies).group_ids) == (R if groups else 0, groups)


def test_pending_requests_count_if_their_source_has_a_good_copy():
    decision = decide(requests=[(1, R), (2, R)])
    assert decision.pending and not decision.group_ids and not decision.why
    assert decide(requests=[(1, FIELD)]).group_ids == (1, 2)
    assert decide(requests=[(1, FIELD)], copies=f"{FIELD}YY").group_ids == (2,)
    assert decide(requests=[(4, R)]).group_ids == (1, 2), "copies in that group do not count"


def test_a_bad_copy_is_replaced_from_another_node_preferably_an_archive_node():
    assert decide("X", f"{FIELD}YY {A}YY").source_id == A
    assert decide("N", f"{FIELD}YY").source_id == FIELD
    assert decide("M", f"{OUT}YY").source_id == OUT


@pytest.mark.parametrize(
    ("here", "copies", "code"),
    [
        ("X", "", Code.RETIREMENT_NO_GOOD_COPY),
        ("N", f"{A}XY", Code.RETIREMENT_NO_GOOD_COPY),
        ("M", "", Code.RETIREMENT_COPY_SUSPECT),
        ("X", f"{FIELD}MY", Code.RETIREMENT_COPY_SUSPECT),
        ("X", f"{OFF}YY", Code.RETIREMENT_SOURCE_INACTIVE),
    ],
)
def test_a_file_without_a_good_copy_that_can_be_read_is_reported(here, copies, code):
    decision = decide(here, copies)
    assert not decision.group_ids and code_of(decision.why) is code


def test_too_few_groups_are_reported_and_those_that_there_are_are_used():
    decision = decide(groups=(1,))
    assert decision.group_ids == (1,) and decision.why == Code.RETIREMENT_NEEDS_GROUP(copies="1 copy")
    assert decide(groups=(4, 5, 6)).group_ids == ()


def test_at_least_one_copy_must_be_elsewhere():
    assert decide(minimum=0).group_ids == (1,)


def test_the_group_of_the_retired_node_may_take_its_files():
    assert decide(groups=(3,), minimum=1).group_ids == (3,)
