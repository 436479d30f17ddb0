"""`node create` says what a node lacks before a run works on it; each command that it prints works."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Archive, Result
from tests.fixtures.remedies import commands

pytestmark = pytest.mark.one_engine


def notes(done: Result) -> list[str]:
    assert done.status == 0, done
    return [line.removeprefix("note: ") for line in done.err.splitlines()]


def type_each(archive: Archive, said: list[str]) -> None:
    """Type the commands in notes, first those that are not of this program."""
    for note in said:
        if "mkdir " in note:
            subprocess.run(shlex.split(note[note.index("mkdir ") :]), check=True)
    for note in said:
        for words in commands(note):
            assert archive.run(*words).status == 0, words


@pytest.mark.parametrize("options", [("--init",), (), ("--init", "--activate")])
def test_once_each_command_is_typed_a_run_works_on_the_node(
    archive: Archive, options: tuple[str, ...]
) -> None:
    archive.host("here")
    root = archive.base / "new disk"
    create = archive.run("node", "create", "disk", "--create-group", "--root", str(root), *options)
    said = notes(create)
    assert create.out.startswith("Created node disk and group disk on this host, here.\n")
    assert ("mkdir -p" in said[0], any("node init" in note for note in said)) == (
        True,
        "--init" not in options,
    )
    assert any("node activate" in note for note in said) is ("--activate" not in options)
    # No run has initialised it, and nothing says that the next one would.
    assert "next run" not in create.out
    archive.sync()
    assert not root.exists()
    type_each(archive, said)
    done = archive.sync()
    assert done.status == 0, done
    assert (root / MARKER).read_text().startswith("disk")
    assert archive.one("SELECT avail_gb_last_checked FROM storagenode") is not None
    # A second one at the same place, or in the same group, is told of as well.
    other = archive.base / "other"
    other.mkdir()
    asked = ("--group", "disk", "--root", str(other), "--activate", "--init")
    (note,) = notes(archive.run("node", "create", "second", *asked))
    assert "more than one active node" in note and "alpenhorn node deactivate NODE" in note


def test_a_node_that_lacks_nothing_is_initialised_by_the_next_run(archive: Archive) -> None:
    archive.host("here")
    root = archive.base / "disk"
    root.mkdir()
    asked = ("--create-group", "--root", str(root), "--activate", "--init")
    done = archive.run("node", "create", "disk", *asked)
    assert (done.err, done.out) == (
        "",
        "Created node disk and group disk on this host, here.\nThe next run on its host initialises it.\n",
    )
    assert archive.sync().status == 0 and (root / MARKER).exists()


def test_a_node_on_another_host_or_on_none(archive: Archive) -> None:
    archive.host("here")
    archive.host("there")
    done = archive.run("node", "create", "far", "--create-group", "--host", "there", "--root", "/srv/far")
    assert done.out == "Created node far and group far.\n"
    assert ["unless its root has its marker" in note for note in notes(done)] == [True, False]
    done = archive.run("node", "create", "away", "--create-group", "--host", "")
    assert done.out == "Created node away and group away.\n" and "until it has a host and a root" in done.err
    assert archive.all("SELECT host_id FROM storagenode WHERE name = 'away'") == [(None,)]
    # This host is not in the index.
    archive.do("DELETE FROM storagehost WHERE name = 'here'")
    assert (
        archive.run("node", "create", "lone", "--create-group").out == "Created node lone and group lone.\n"
    )
