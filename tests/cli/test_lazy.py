from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("nod", "'node'"), ("snyc", "'sync'"), ("node lst", "'list'"), ("file fnd", "'find'")],
)
def test_a_mistyped_command_brings_the_nearest_one(empty: Archive, typed: str, meant: str) -> None:
    assert f"did you mean {meant}" in empty.fails(2, *typed.split())


def test_one_that_is_like_no_other_is_just_refused(empty: Archive) -> None:
    assert empty.fails(2, "xyzzy").endswith("Error: no command called 'xyzzy'\n")
