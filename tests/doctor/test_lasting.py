"""What doctor advises for conditions that runs have reported."""

from __future__ import annotations

import pytest

from alpenhorn.doctor.checks import lasting
from alpenhorn.model.conditions import IMPORTS, Condition
from alpenhorn.reasons import Code


@pytest.mark.parametrize(
    ("code", "subject", "why", "remedy"),
    [
        (Code.ROOTS_NESTED, "a", "give one of them another root; see: alpenhorn doctor", ""),
        (Code.NODE_LEFT_OUT, "a", "node a is left out: no marker", "see its checks above"),
        (Code.HOST_SILENT, "b", "host b does not answer", "see its checks above"),
        (
            Code.NAME_NOT_UTF8,
            f"{IMPORTS}a: b",
            "cannot be imported from a: the name is not valid UTF-8",
            "correct or remove the file; then: alpenhorn sync",
        ),
        (Code.GROUP_SETTINGS_WARNING, "g", "the settings of g are odd", "alpenhorn plan"),
    ],
)
def test_the_remedy_fits_the_condition(code: Code, subject: str, why: str, remedy: str) -> None:
    found = lasting("here", Condition(str(code), subject, why, 0.0, 0.0, None))
    assert (found.text, found.remedy) == (
        f"runs on here have reported since 1970-01-01 00:00:00 UTC: {why}",
        remedy,
    )
