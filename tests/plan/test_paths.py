from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.plan.paths import unsafe

ELEMENTS = st.one_of(
    st.sampled_from(["", ".", "..", "...", "a", "ALPENHORN_NODE", ".alpenhorn", "\0", "~", "-rf", "a\n"]),
    st.text(max_size=8),
)
PATHS = st.lists(ELEMENTS, max_size=5).map("/".join)


@given(PATHS, PATHS)
def test_a_path_that_would_leave_the_root_is_never_passed(acq: str, name: str) -> None:
    if unsafe(acq, name):
        return
    path = f"{acq}/{name}"
    assert os.path.normpath(os.path.join("/root", path)) == f"/root/{path}"
    assert "\0" not in path
    assert not path.startswith((".alpenhorn", "ALPENHORN_NODE/"))


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60))
def test_any_other_name_is_passed(name: str) -> None:
    assert (unsafe("acq", name) == "") == (name not in (".", ".."))


@pytest.mark.parametrize(
    ("name", "fits"), [("a" * 255, True), ("a" * 256, False), ("é" * 127, True), ("é" * 128, False)]
)
def test_an_element_has_255_bytes_at_most(name: str, fits: bool) -> None:
    assert (unsafe("acq", f"dir/{name}/x") == "") is fits


def test_the_reason_says_where_to_correct_the_name() -> None:
    assert "index" in unsafe("acq", "../x")
