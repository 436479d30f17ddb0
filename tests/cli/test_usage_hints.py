"""Wrong usage is answered with the right form, which works when it is typed."""

from __future__ import annotations

import shlex

import pytest

from tests.cli.conftest import Archive


def printed_command(message: str) -> list[str]:
    """The words after `alpenhorn` of the command at the end of a message."""
    last = message.splitlines()[-1]
    assert ": alpenhorn " in last, last
    return shlex.split(last.rpartition(": alpenhorn ")[2])


# The printed command is that of the last column.  No node of the archive is on the host of the test.
@pytest.mark.parametrize(
    ("typed", "said", "right"),
    [
        (
            "sync field1",
            "no argument is expected: 'field1'; to work on one node",
            "sync --node field1",
        ),
        (
            "sync field1 off1",
            "no argument is expected: 'field1', 'off1'; to work on these nodes",
            "sync --node field1 --node off1",
        ),
        ("sync -n off1 --jobs 1", "to work on one node", "sync -n --jobs 1 --node off1"),
        ("plan off1 --node off1", "to work on one node", "plan --node off1 --node off1"),
        ("plan --jobs 1 -- off1", "to work on one node", "plan --jobs 1 --node off1 --"),
        ("reconcile field1 --dry-run", "to work on one node", "reconcile --dry-run --node field1"),
        ("history field1", "to list the events on one node", "history --node field1"),
        ("history pilot/a", "to list the events of one file", "history --file pilot/a"),
        (
            "file sync pilot/a offsite --from field1",
            "no argument is expected after FILE: 'offsite'; the group is given with --to",
            "file sync pilot/a --from field1 --to offsite",
        ),
        (
            "file sync --cancel pilot/a offsite",
            "the group is given with --to",
            "file sync --cancel pilot/a --to offsite",
        ),
    ],
)
def test_surplus_arguments_bring_the_right_form(archive: Archive, typed: str, said: str, right: str) -> None:
    archive.file("a", field1="YY")
    message = archive.fails(2, *typed.split())
    assert f"{said}: alpenhorn {right}\n" in message
    assert archive(*printed_command(message)).status in (0, 1)


def test_a_run_given_to_history_as_an_argument(archive: Archive) -> None:
    assert printed_command(archive.fails(2, "history", "last")) == ["history", "--run", "last"]
    assert printed_command(archive.fails(2, "history", "12")) == ["history", "--run", "12"]


@pytest.mark.parametrize(
    "typed",
    [
        "history field1 off1",
        "history off1 --node field1",
        "history field1 --prune 9000d",
        "file sync pilot/a field1 offsite",
        "file sync pilot/a field1 --to offsite",
        "group autosync offsite field1 off1",
    ],
)
def test_no_form_is_printed_that_would_not_work(archive: Archive, typed: str) -> None:
    message = archive.fails(2, *typed.split())
    assert "no argument is expected" in message and "alpenhorn" not in message.splitlines()[-1]


def test_the_source_is_asked_for_where_it_is_missing(archive: Archive) -> None:
    archive.file("a", field1="YY")
    right = printed_command(archive.fails(2, "file", "sync", "pilot/a", "offsite"))
    assert right == ["file", "sync", "pilot/a", "--from", "SOURCE_NODE", "--to", "offsite"]
    archive.ok(*(word.replace("SOURCE_NODE", "field1") for word in right))


@pytest.mark.parametrize("command", ["sync", "plan", "reconcile"])
def test_names_of_nodes_with_commas(archive: Archive, command: str) -> None:
    message = archive.fails(2, command, "--node", "field1,off1")
    assert "no node called 'field1,off1'; give --node for each: --node field1 --node off1\n" in message
    assert archive(command, "--node", "field1", "--node", "off1").status != 2


def test_a_comma_in_the_name_of_a_node_is_no_mistake(archive: Archive) -> None:
    archive.ok("node", "create", "a,b", "--group", "offsite", "--host", "alp2", "--root", "/srv/ab")
    assert archive("plan", "--node", "a,b").status != 2
    assert "no node called ','; see" in archive.fails(1, "plan", "--node", ",")
    assert "no node called 'nope'; see" in archive.fails(1, "plan", "--node", "a,b", "--node", "nope")


def test_an_unknown_kind_of_work_brings_similar_ones(archive: Archive) -> None:
    assert archive.fails(2, "sync", "--only", "pulls").endswith("; did you mean 'pull'?\n")
    assert archive.fails(2, "plan", "--only", "pull,import").endswith(
        "; give --only for each: --only pull --only import\n"
    )
    assert archive.fails(2, "plan", "--only", "zzz").endswith("'pull', 'trash'.\n")
    assert archive.fails(2, "plan", "--only", ",").endswith("'pull', 'trash'.\n")


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("group autosync field1 offsite", "group autosync offsite field1"),
        ("group autosync --remove field1 offsite", "group autosync --remove offsite field1"),
        ("node autoclean offsite field1", "node autoclean field1 offsite"),
        ("group sync field1 offsite --check", "group sync offsite field1 --check"),
        ("node sync offsite field1 --acq pilot -n", "node sync field1 offsite --acq pilot -n"),
    ],
)
def test_a_node_and_a_group_in_the_wrong_order(archive: Archive, typed: str, right: str) -> None:
    archive.file("a", field1="YY")
    message = archive.fails(2, *typed.split())
    assert (
        "arguments in the wrong order: 'field1' is a node and 'offsite' is a group;"
        f" use: alpenhorn {right}\n" in message
    )
    archive.ok(*printed_command(message))


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        (("file", "verify", "field1", "pilot/a b"), "file verify 'pilot/a b' field1"),
        (("file", "state", "field1", "pilot/a b", "--json"), "file state 'pilot/a b' field1 --json"),
        (
            ("file", "state", "--set", "Suspect", "field1", "pilot/a b"),
            "file state --set Suspect 'pilot/a b' field1",
        ),
    ],
)
def test_a_file_and_a_node_in_the_wrong_order(archive: Archive, typed: tuple[str, ...], right: str) -> None:
    archive.file("a b", field1="YY")
    message = archive.fails(2, *typed)
    assert f"arguments in the wrong order: 'field1' is a node; use: alpenhorn {right}\n" in message
    archive.ok(*printed_command(message))


def test_unknown_names_are_not_taken_for_the_wrong_order(archive: Archive) -> None:
    assert "no node called 'pilot/a'" in archive.fails(1, "file", "verify", "pilot/a", "pilot/a")
    assert "no node called 'nope'" in archive.fails(1, "file", "verify", "field1", "nope")
    assert "no node called 'offsite'" in archive.fails(1, "group", "autosync", "spare", "offsite")
    assert "no node called 'nope'" in archive.fails(1, "group", "autosync", "field1", "nope")
    assert "no group called 'field1'" in archive.fails(1, "group", "sync", "field1", "--cancel", "--all")


def test_a_node_with_the_name_of_its_group(archive: Archive) -> None:
    archive.ok("group", "create", "field1")
    right = printed_command(archive.fails(2, "group", "autosync", "field1", "offsite"))
    assert right == ["group", "autosync", "offsite", "field1"]
