from __future__ import annotations

from alpenhorn.suggestions import advice, did_you_mean


def test_up_to_three_similar_names_are_suggested_the_most_similar_first() -> None:
    assert did_you_mean("alpx", ["alp1", "other", "alp"]) == "did you mean 'alp' or 'alp1'?"
    assert did_you_mean("alp", [f"alp{n}" for n in range(9)]).count("'alp") == 3


def test_nothing_is_suggested_when_no_name_is_similar() -> None:
    assert did_you_mean("zzz", ["alp1", "alp2"]) == ""
    assert did_you_mean("zzz", []) == ""


def test_advice_ends_with_the_remedy_with_or_without_a_suggestion() -> None:
    assert advice("alp", ["alp1"], "see: list") == "did you mean 'alp1'? see: list"
    assert advice("zzz", ["alp1"], "see: list") == "see: list"
