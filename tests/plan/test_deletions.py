"""The rule for deletions as a table of all inputs; `safe` below states it a second time, independently."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.nodes import GIB
from alpenhorn.model.tasks import AttemptFact
from alpenhorn.plan.deletions import decide, enough, freed_b, lacking_b, reason
from tests.plan.facts import NOW, node

NAMES = ("A", "B", "C", "D")


def fact(**changes: Any) -> DeletionFact:
    plain = DeletionFact(1, 2, 3, "acq", "dir/f", 100, 4096, "Y", "N", others=("A", "B"))
    changed = plain._replace(**changes)
    return changed._replace(other_ids=_ids(changed.others), released_ids=_ids(changed.released))


def _ids(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(ord(name[-1]) for name in names)


def may(fact: DeletionFact, archive: bool = False, minimum: int = 2) -> bool:
    return decide(fact, archive, minimum, NOW) == ""


def safe(has: str, wants: str, others: int, released: int, archive: bool, minimum: int, kept: str) -> bool:
    if has == "N" or wants == "Y" or kept:
        return False
    if wants == "M":
        return has == "Y" and not archive and others >= minimum
    return others + (released if archive else 0) >= minimum


KEPT: dict[str, dict[str, Any]] = {
    "": {},
    "source": {"source_of": 7},
    "wanted": {"wanted_by": 8},
    "pinned": {"pinned": "pinned until 2030: for the flux paper"},
    "claimed": {"claimed_by": "there (run 9)"},
    "same path": {"same_path": "acq/dir"},
}


@pytest.mark.parametrize("minimum", [1, 2, 3])
@pytest.mark.parametrize("archive", [False, True])
def test_every_combination_of_states_is_decided_as_the_rule_says(archive: bool, minimum: int) -> None:
    seen = set()
    for has, wants, others, released, kept in product("YMXN", "YMN", range(5), range(5), KEPT):
        one = fact(
            has_file=has,
            wants_file=wants,
            others=NAMES[:others],
            released=NAMES[:released],
            **KEPT[kept],
        )
        expected = safe(has, wants, others, released, archive, minimum, kept)
        assert may(one, archive, minimum) is expected, one
        seen.add(expected)
    assert seen == {True, False}


def test_a_minimum_below_one_is_one() -> None:
    assert not may(fact(others=()), minimum=0)
    assert may(fact(others=("A",)), minimum=0)


def test_the_minimum_stays_in_any_order_of_simultaneous_releases() -> None:
    for copies, minimum in product(range(6), (1, 2, 3)):
        left = [f"node{i}" for i in range(copies)]
        for name in list(left):
            rest = tuple(other for other in left if other != name)
            if may(fact(others=(), released=rest), archive=True, minimum=minimum):
                left.remove(name)
        assert len(left) == min(copies, minimum)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"others": ("A",)}, ("needs 2 other good archive copies; has 1 (", "alpenhorn node sync")),
        ({"others": ()}, ("has 0",)),
        (
            {"others": ("A",), "released": ("B",), "uncounted": ("C: no marker",)},
            ("has 1; does not count: C: no marker; B: released as well",),
        ),
        ({"others": (), "uncounted": tuple("CDEFGH")}, ("does not count: C; D; E; and 3 more",)),
        ({"twice": True}, ("more than one row for this copy",)),
        ({"restored": "v1 is ahead"}, ("v1 is ahead", "run: alpenhorn reconcile")),
        ({"acq": None}, ("no row for the file",)),
        ({"name": None}, ("no row for the file",)),
        ({"size_b": None}, ("no length",)),
        ({"name": "../../etc/passwd"}, ("not a path below a root",)),
        ({"acq": "ALPENHORN_NODE"}, ("alpenhorn's own",)),
        ({"acq": ".alpenhorn", "name": "run.lock"}, ("alpenhorn's own",)),
        ({"acq": "/etc", "name": "passwd"}, ("not a path below a root",)),
        ({"name": "a\0b"}, ("NUL",)),
        ({"pinned": "pinned: for the paper"}, ("for the paper", "alpenhorn file unpin")),
        ({"source_of": 5}, ("a pending request will pull from it", "alpenhorn request list")),
        ({"wanted_by": 5}, ("wants the file in this node's group", "alpenhorn request list")),
        ({"claimed_by": "there (run 9)"}, ("there (run 9)",)),
        ({"same_path": "acq/dir"}, ("acquisition acq/dir", "same path", "one of the two rows")),
        ({"has_file": "N"}, ("no longer exists",)),
        ({"wants_file": "Y"}, ("it is wanted",)),
        ({"wants_file": "M", "has_file": "X"}, ("only good copies",)),
    ],
)
def test_a_copy_that_must_stay_is_reported_with_the_remedy(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    why_not = decide(fact(**changes), False, 2, NOW)
    assert why_not
    for word in words:
        assert word in why_not


def test_the_message_about_a_removable_archive_copy_says_how_to_release_it() -> None:
    assert "alpenhorn file clean FILE --node NODE --now --archive-ok" in decide(
        fact(wants_file="M"), True, 2, NOW
    )


def test_failed_attempts_wait() -> None:
    assert not may(fact(attempt=AttemptFact(1, NOW - 10, NOW + 1, "unknown", "read-only")))
    assert may(fact(attempt=AttemptFact(1, NOW - 10, NOW, "unknown", "read-only")))


def test_the_reason_states_the_release_and_the_remaining_copies() -> None:
    assert reason(fact()) == "released; good archive copies are on A, B"
    assert reason(fact(wants_file="M")) == "deleted to make room; good archive copies are on A, B"
    both = reason(fact(others=("A",), released=("B",)))
    assert both == (
        "released; good archive copies are on A; good archive copies that are released as well are on B"
    )


def test_a_node_lacks_the_space_missing_to_min_avail() -> None:
    assert lacking_b(node(min_avail_gb=2.0), GIB) == GIB
    assert lacking_b(node(min_avail_gb=2.0), 2 * GIB) == 0
    assert lacking_b(node(min_avail_gb=2.0), 3 * GIB) == 0
    assert lacking_b(node(), 0) == 0


def test_unknown_free_space_and_archive_nodes_lack_nothing() -> None:
    assert lacking_b(node(min_avail_gb=2.0), None) == 0
    assert lacking_b(node(min_avail_gb=float("nan")), 0) == 0
    assert lacking_b(node(min_avail_gb=2.0, archive=True), 0) == 0


def test_only_as_many_removable_copies_as_needed_are_deleted_the_first_ones() -> None:
    facts = [fact(copy_id=i, wants_file="M", space_b=10) for i in range(5)]
    for lack_b, number in ((-1.0, 0), (0.0, 0), (1.0, 1), (10.0, 1), (11.0, 2), (50.0, 5), (1000.0, 5)):
        assert enough(facts, lack_b) == facts[:number]


def test_a_copy_that_takes_no_space_is_not_needed() -> None:
    empty, full = fact(space_b=0), fact(space_b=10)
    assert enough([empty, full, empty], 5.0) == [full]


def test_a_copy_of_unknown_space_frees_its_length() -> None:
    assert freed_b(fact()) == 4096
    assert freed_b(fact(space_b=None)) == 100
    assert freed_b(fact(space_b=None, size_b=None)) == 0
