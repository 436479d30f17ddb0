"""What is written is what a TOML parser reads."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.setup import toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = (
    TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
KEY = st.from_regex(r"[a-z_]+", fullmatch=True)


@given(
    st.dictionaries(
        KEY, st.dictionaries(KEY, PLAIN | st.lists(PLAIN) | st.dictionaries(TEXT, PLAIN), min_size=1)
    )
)
def test_a_document_is_read_back_as_it_was(sections: dict[str, dict[str, object]]) -> None:
    assert tomllib.loads(toml.document(sections)) == sections


def test_sections_without_keys_are_left_out() -> None:
    assert toml.document({"a": {}, "b": {"c": 1}, "d": {}}) == "[b]\nc = 1\n"
    assert toml.document({}) == ""
