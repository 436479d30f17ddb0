"""Policies are created, listed, changed and deleted."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


def test_a_policy_is_created_listed_shown_changed_and_deleted(archive: Archive) -> None:
    assert (
        archive.ok("policy", "list")
        == "No policies; to create one: alpenhorn policy create NAME --copies 2\n"
    )
    words = ("--copies", "3", "--sites", "2", "--acq", "2026*", "--acq", "pilot", "--group", "offsite")
    more = ("--require", "offsite", "--min-age", "1d", "--priority", "-5")
    assert archive.ok("policy", "create", "raw", *words, *more) == "Created policy raw.\n"
    raw = {
        "name": "raw",
        "copies": 3,
        "sites": 2,
        "acqs": ["2026*", "pilot"],
        "groups": ["offsite"],
        "required": ["offsite"],
        "min_age_s": 86400,
        "priority": -5,
    }
    assert archive("policy", "list", "--json").json == [raw]
    assert archive("policy", "show", "raw", "--json").json == raw
    shown = archive.ok("policy", "show", "raw")
    assert "Copies: 3\n" in shown and "Acquisitions: 2026*, pilot\n" in shown and "Min age: 1 d\n" in shown

    assert (
        archive.ok("policy", "modify", "raw", "--copies", "3", "--acq", "2026*", "--acq", "pilot")
        == "No change.\n"
    )
    changed = archive.ok(
        "policy", "modify", "raw", "--acq", "", "--group", "", "--require", "", "--copies", "2"
    )
    assert changed == "Changed policy raw.\n"
    after = archive("policy", "show", "raw", "--json").json
    assert after == raw | {"copies": 2, "acqs": [], "groups": [], "required": []}
    assert "Acquisitions: all\n" in archive.ok("policy", "show", "raw")

    assert "use --force" in archive.fails(1, "policy", "delete", "raw")
    assert archive.ok("policy", "delete", "raw", "--force") == "Deleted policy raw.\n"
    assert archive("policy", "list", "--json").json == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--copies", "1", "--sites", "2"), "2 sites need at least as many copies; use --copies 2"),
        (("--copies", "1", "--require", "field", "--require", "spare"), "2 required groups need at least"),
        (("--copies", "2", "--group", "field", "--require", "spare"), "add --group spare"),
        (("--copies", "2", "--group", "nope"), "no group called 'nope'"),
    ],
)
def test_a_policy_that_no_file_could_satisfy_is_refused(
    archive: Archive, words: tuple[str, ...], message: str
) -> None:
    assert message in archive.fails(1, "policy", "create", "raw", *words)
    archive.ok("policy", "create", "raw", "--copies", "7")
    if "nope" not in words:
        assert message in archive.fails(1, "policy", "modify", "raw", *words)


def test_the_default_policy_has_no_patterns(archive: Archive) -> None:
    assert "omit --acq" in archive.fails(1, "policy", "create", "default", "--copies", "2", "--acq", "a*")
    archive.ok("policy", "create", "default", "--copies", "2")
    assert "no other policy" in archive.ok("policy", "show", "default")
    assert "exists already" in archive.fails(1, "policy", "create", "default", "--copies", "3")


@pytest.mark.parametrize(
    "words",
    [
        ("--copies", "0"),
        ("--copies", "2", "--sites", "0"),
        ("--copies", "2", "--min-age", "x"),
        ("--copies", "1", "--min-age", "40000d"),
    ],
)
def test_bad_numbers_are_wrong_usage(archive: Archive, words: tuple[str, ...]) -> None:
    archive.fails(2, "policy", "create", "raw", *words)
    assert "no policy called 'raw'" in archive.fails(1, "policy", "show", "raw")
