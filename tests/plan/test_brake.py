from __future__ import annotations

import pytest

from alpenhorn.config import DeleteLimit
from alpenhorn.plan.brake import FEW, least, limit_exceeded, most


@pytest.mark.parametrize(
    ("copies", "limit", "allowed"),
    [
        (0, DeleteLimit(), None),
        (1000, DeleteLimit(), None),
        (1001, DeleteLimit(), 100),
        (5000, DeleteLimit(), 500),
        (1100, DeleteLimit(share=0.29), 319),
        (1100, DeleteLimit(share=0.0), 0),
        (1100, DeleteLimit(share=1.0), 1100),
        (10, DeleteLimit(files=3), 3),
        (10**9, DeleteLimit(files=3), 3),
        (10, DeleteLimit(files=0), 0),
    ],
)
def test_a_share_holds_on_nodes_with_many_files_and_a_number_always(
    copies: int, limit: DeleteLimit, allowed: int | None
) -> None:
    assert most(copies, limit) == allowed


@pytest.mark.parametrize("limit", [DeleteLimit(), DeleteLimit(share=0.031), DeleteLimit(files=7)])
def test_the_lower_bound_is_never_above_the_limit_of_a_node(limit: DeleteLimit) -> None:
    for copies in (FEW + 1, 2 * FEW, 10**6):
        allowed = most(copies, limit)
        assert allowed is not None and least(limit) <= allowed


def test_the_message_states_the_numbers_and_the_remedy() -> None:
    text = limit_exceeded("field", 12000, 5000, 1200)
    for part in (
        "1,200 of its 12,000 copies",
        "5,000 are released",
        "alpenhorn sync --node field --allow-mass-delete",
        "alpenhorn node clean field --cancel",
    ):
        assert part in text
