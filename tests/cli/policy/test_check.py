"""What files lack, and why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Archive


@pytest.fixture
def spread(archive: Archive) -> Archive:
    """Archive nodes one and two at site alp1, and far at site alp2, each in a group of its own."""
    for name, host in (("one", "alp1"), ("two", "alp1"), ("far", "alp2")):
        archive.ok(
            *("node", "create", name, "--create-group", "--host", host, "--root", f"/srv/{name}"),
            *("--archive", "--activate"),
        )
    archive.ok("node", "deactivate", "off1")
    return archive


def checked(archive: Archive, *words: str) -> list[tuple[Any, ...]]:
    result = archive("policy", "check", *words, "--json")
    assert result.status == (1 if result.json else 0)
    return [(row["lacks"], row["files"], row["why"]) for row in result.json]


def test_without_policies_or_gaps(spread: Archive) -> None:
    assert "No policies" in spread.ok("policy", "check")
    spread.ok("policy", "create", "p", "--copies", "2")
    spread.file("a", one="YY", two="YY")
    spread.file("given up", one="NN", two="NN")
    assert spread.ok("policy", "check") == "Nothing is lacking.\n"
    spread.file("b", one="YY")
    result = spread("policy", "check")
    assert result.status == 1 and "pilot/b" in result.out


@pytest.mark.parametrize(
    ("copies", "lacks", "why"),
    [
        ({"one": "YY"}, "1 more copy, and another site", "the next run on alp2 requests it"),
        ({"field1": "YY"}, "2 more copies, and another site", None),
        ({"one": "YY", "two": "YY"}, "another site", "the next run on alp2 requests it"),
        ({"one": "YY", "far": "MY"}, "1 more copy, and another site", "the next run checks suspect copies"),
        (
            {"one": "YY", "far": "YN"},
            "1 more copy, and another site",
            "the copy on far is released; to keep it: alpenhorn node clean NODE --cancel",
        ),
        (
            {"one": "XY"},
            "2 more copies, and another site",
            "no good copy to copy from; see: alpenhorn repair",
        ),
        (
            {"one": "YN"},
            "2 more copies, and another site",
            "all its copies are released; to keep them: alpenhorn node clean NODE --cancel",
        ),
    ],
)
def test_what_is_missing_and_why(
    spread: Archive, copies: dict[str, str], lacks: str, why: str | None
) -> None:
    spread.ok("policy", "create", "p", "--copies", "2", "--sites", "2")
    spread.file("a", **copies)
    ((found, files, reason),) = checked(spread)
    if "field1" in copies:
        lacks, why = "2 more copies, and 2 other sites", "the next run on alp1 or alp2 requests it"
    elif why and ("no good" in why or "all its" in why):
        lacks = "2 more copies, and 2 other sites"
    assert (found, files, reason) == (lacks, 1, why)


def test_the_only_node_at_another_site_is_full_or_there_is_none(spread: Archive) -> None:
    spread.ok("policy", "create", "p", "--copies", "2", "--sites", "2")
    spread.file("a", one="YY", two="YY")
    spread.file("big", size=10**9, one="YY", two="YY")
    spread.ok("node", "modify", "far", "--min-avail", "1GiB")
    spread.index.execute("UPDATE storagenode SET avail_gb = 1.5 WHERE name = 'far'")
    assert checked(spread) == [
        ("another site", 1, "the next run on alp2 requests it"),
        ("another site", 1, "the only node at another site is full: far"),
    ]
    assert checked(spread, "--file", "pilot/big") == [
        ("another site", 1, "the only node at another site is full: far")
    ]
    spread.ok("node", "modify", "far", "--site", "alp1")
    assert checked(spread) == [
        ("another site", 2, "no further active archive node at another site could have a copy")
    ]
    spread.ok("policy", "modify", "p", "--sites", "1", "--require", "spare")
    assert checked(spread) == [
        ("a copy in group spare", 2, "no further active archive node in group spare could have a copy")
    ]


def test_requests_ages_and_filters(spread: Archive) -> None:
    spread.ok("policy", "create", "p", "--copies", "2", "--acq", "pilot")
    spread.ok("policy", "create", "young", "--copies", "3", "--acq", "other", "--min-age", "36000d")
    asked = spread.file("a", one="YY")
    spread.request(asked, "one", "two")
    spread.file("b", "other", one="YY")
    spread.file("c", "third", one="YY")
    assert checked(spread) == [
        ("1 more copy", 1, "requested; see: alpenhorn request list"),
        ("2 more copies", 1, "registered less than 36000 d ago"),
    ]
    assert [lacks for lacks, _, _ in checked(spread, "young")] == ["2 more copies"]
    assert [lacks for lacks, _, _ in checked(spread, "--acq", "pil*")] == ["1 more copy"]
    assert checked(spread, "--acq", "third") == []
    spread.fails(2, "policy", "check", "--acq", "third", "--file", "pilot/a")
    assert "no policy called" in spread.fails(1, "policy", "check", "nope")
