from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("nod", "'node'"), ("snyc", "'sync'"), ("node lst", "'list'"), ("file fnd", "'find'")],
)
def test_mistyped_command_is_refused_with_the_most_similar_one(
    empty: Archive, typed: str, meant: str
) -> None:
    assert f"did you mean {meant}" in empty.fails(2, *typed.split())


def test_unknown_command_similar_to_none_is_refused_without_a_suggestion(empty: Archive) -> None:
    assert empty.fails(2, "xyzzy").endswith("Error: no command called 'xyzzy'\n")
