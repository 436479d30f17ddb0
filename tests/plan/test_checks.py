from __future__ import annotations

import pytest

from alpenhorn.model import CheckFact, CheckFile
from alpenhorn.plan.checks import choose
from tests.plan.facts import MD5, NOW, attempt

GOOD = CheckFact(1, 2, 3, "acq", "a/b", 10, MD5)


def test_a_suspect_copy_is_read() -> None:
    assert choose([GOOD], NOW) == ([CheckFile(1, 2, "acq/a/b", 10, MD5)], [])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"acq": None, "name": None}, "gone"),
        ({"size_b": None}, "no length"),
        ({"md5sum": None}, "MD5"),
        ({"name": "../x"}, "no path below a root"),
        ({"attempt": attempt(NOW + 1)}, "waits"),
    ],
)
def test_what_cannot_be_checked_now_is_left_with_the_reason(changes: dict[str, object], why: str) -> None:
    fact = GOOD._replace(**changes)  # type: ignore[arg-type]
    plan = choose([fact, GOOD], NOW)
    assert [file.copy_id for file in plan.files] == [1]
    ((left, reason),) = plan.left
    assert left is fact
    assert why in reason


def test_a_failed_attempt_is_made_again_when_its_time_has_come() -> None:
    assert choose([GOOD._replace(attempt=attempt(NOW))], NOW).files
