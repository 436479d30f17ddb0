from __future__ import annotations

import datetime
import os
import pty
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Archive

HOUR = datetime.timedelta(hours=1)
VERIFY = ("node", "verify", "field1")


def states(archive: Archive, node: str = "field1") -> dict[str, str]:
    """File name to has_file and wants_file on the node."""
    rows = archive.all(
        "SELECT f.name, c.has_file, c.wants_file FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " WHERE c.node_id = ?",
        archive.id("storagenode", node),
    )
    return {name: f"{has}{wants}" for name, has, wants in rows}


def changed(archive: Archive) -> dict[str, str]:
    return {name: state for name, state in states(archive).items() if name != state}


def claim(
    archive: Archive, file_id: int, node: str, expires: datetime.datetime, kind: str = "delete"
) -> None:
    node_id = archive.id("storagenode", node)
    archive.insert(
        "sync_claim",
        kind=kind,
        file_id=file_id,
        target_id=node_id,
        node_id=node_id,
        reserved_b=0,
        host="alp1",
        run_id=1,
        expires=expires,
        fence=1,
    )


@pytest.fixture
def every_state(archive: Archive) -> Archive:
    """A file of each state on field1, named as the state, and good copies elsewhere."""
    for has in "YMXN":
        for wants in "YMN":
            archive.file(has + wants, field1=has + wants, off1="YY")
    return archive


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"XY": "MY", "XM": "MM", "NY": "MY"}),
        (("--corrupt",), {"XY": "MY", "XM": "MM"}),
        (("--missing",), {"NY": "MY"}),
        (("--healthy",), {"YY": "MY", "YM": "MM"}),
        (("--healthy", "--missing"), {"YY": "MY", "YM": "MM", "NY": "MY"}),
        (("--all",), {"YY": "MY", "YM": "MM", "XY": "MY", "XM": "MM", "NY": "MY"}),
        (("-a", "--corrupt"), {"YY": "MY", "YM": "MM", "XY": "MY", "XM": "MM", "NY": "MY"}),
        (("--cancel",), {"MY": "XY", "MM": "XM"}),
        (("--cancel", "--corrupt"), {"MY": "XY", "MM": "XM"}),
        (("--cancel", "--healthy"), {"MY": "YY", "MM": "YM"}),
        (("--cancel", "--missing"), {"MY": "NY", "MM": "NY"}),
    ],
)
def test_verify_changes_only_copies_in_the_selected_states(
    every_state: Archive, options: tuple[str, ...], expected: dict[str, str]
) -> None:
    before = every_state.all("SELECT * FROM archivefilecopy WHERE node_id <> 1")
    text = every_state.ok(*VERIFY, *options, "--force")
    assert changed(every_state) == expected
    copies = "1 copy" if len(expected) == 1 else f"{len(expected)} copies"
    assert text.count(f" {copies}") == 2
    stamps = every_state.all(
        "SELECT f.name FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " WHERE c.node_id = 1 AND c.last_update > '2026-07-22 10:00:00'"
    )
    assert {name for (name,) in stamps} == set(expected)
    assert every_state.all("SELECT * FROM archivefilecopy WHERE node_id <> 1") == before
    assert every_state.ok(*VERIFY, *options, "--force").startswith("No ")


def test_verify_cancel_leaves_copies_claimed_for_deletion(archive: Archive) -> None:
    """Also where its claim ran out: what became of the copy only the next run can tell."""
    now = archive.index.now()
    for name, expires, kind in (
        ("now", now + HOUR, "delete"),
        ("once", now - HOUR, "delete"),
        ("pulled", now + HOUR, "pull"),
    ):
        claim(archive, archive.file(name, field1="MM"), "field1", expires, kind)
    claim(archive, archive.file("elsewhere", field1="MY", off1="MY"), "off1", now + HOUR)
    archive.ok(*VERIFY, "--cancel", "--healthy", "--force")
    assert states(archive) == {"now": "MM", "once": "MM", "pulled": "YM", "elsewhere": "YY"}


def test_by_acquisition_and_list(archive: Archive, tmp_path: Path) -> None:
    for name, acq in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "three")):
        archive.file(name, acq=acq, field1="XY")
    listing = tmp_path / "list"
    listing.write_text("# seen\n\none/a\none/a\n /srv/field1/two/c \n")
    check = (*VERIFY, "--check")
    assert "mark 2 copies" in archive.ok(*check, "--acq", "one")
    assert "mark 3 copies" in archive.ok(*check, "--acq", "one", "--acq", "two")
    assert "mark 2 copies" in archive.ok(*check, "-F", str(listing))
    assert "mark 1 copy" in archive.ok(*check, "-F", str(listing), "--acq", "two")
    archive.ok(*VERIFY, "-F", "-", "--force", stdin="three/d\n")
    archive.ok(*VERIFY, "-F", str(listing), "--force")
    assert states(archive) == {"a": "MY", "b": "XY", "c": "MY", "d": "MY"}
    archive.ok(*VERIFY, "--cancel", "--healthy", "-F", str(listing), "--acq", "one", "--force")
    assert states(archive) == {"a": "YY", "b": "XY", "c": "MY", "d": "MY"}
    listing.write_text("one/a\none/nothing\n")
    message = archive.fails(1, *VERIFY, "-F", str(listing), "--force")
    assert "line 2: 'one/nothing'" in message and "nothing was changed" in message
    assert "no acquisition called 'tow'" in archive.fails(1, *VERIFY, "--acq", "tow", "--force")
    assert "no node called 'feild1'; did you mean 'field1'?" in archive.fails(1, "node", "verify", "feild1")
    listing.write_text("\n#\n")
    assert archive.ok(*VERIFY, "-F", str(listing), "--force").startswith("No corrupt or missing copies")


def test_check_only_counts_and_the_question_says_what_it_means(archive: Archive) -> None:
    archive.file("a", field1="XY")
    archive.file("b", size=None, field1="NY")
    archive.file("c", field1="MY")
    before = archive.rows()
    what = "2 copies (1000 B, 1 of unknown size) on field1 to be checked"
    assert archive.ok(*VERIFY, "--check") == f"Would mark {what}.\n"
    text = archive.ok(*VERIFY, "--all", "--check")
    assert text == f"Would mark {what}; until then they do not count as good.\n"
    cancel = "the check of 1 copy (1000 B) on field1, and record them as"
    assert archive.ok(*VERIFY, "--cancel", "--check") == f"Would cancel {cancel} corrupt.\n"
    assert "record them as missing" in archive.ok(*VERIFY, "--cancel", "--missing", "--check")
    text = archive.ok(*VERIFY, "--cancel", "--healthy", "--check")
    assert f"{cancel} good without being read, and count when runs decide what may be deleted" in text
    assert archive.rows() == before


def test_nothing_is_done_without_a_terminal_and_without_force(archive: Archive) -> None:
    archive.file("a", field1="XY")
    archive.file("b", field1="MY")
    message = archive.fails(1, *VERIFY)
    assert 'cannot ask "Mark 1 copy (1000 B) on field1 to be checked?" without a terminal' in message
    assert "--force" in archive.fails(1, *VERIFY, "--cancel", "--healthy")
    assert "standard input was read" in archive.fails(1, *VERIFY, "-F", "-", stdin="pilot/a\n")


@pytest.mark.parametrize(("answer", "status", "state"), [(b"y\n", 0, "YY"), (b"n\n", 1, "MY")])
def test_it_asks_on_a_terminal(archive: Archive, answer: bytes, status: int, state: str) -> None:
    archive.file("a", field1="MY")
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update({key: value for key, value in archive.environ.items() if value})
        os.execv(sys.executable, [sys.executable, "-m", "alpenhorn", *VERIFY, "--cancel", "--healthy"])
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(terminal, 1000)
    assert b"without being read" in seen
    os.write(terminal, answer)
    try:
        while os.read(terminal, 1000):
            pass
    except OSError:
        pass  # the child has ended
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
    assert states(archive) == {"a": state}


@pytest.mark.parametrize(
    "options",
    [
        ("--check", "--force"),
        ("--cancel", "--all"),
        ("--cancel", "--healthy", "--corrupt"),
        ("--cancel", "--missing", "--corrupt"),
    ],
)
def test_wrong_usage(archive: Archive, options: tuple[str, ...]) -> None:
    archive.file("a", field1="MY")
    assert "cannot be used together" in archive.fails(2, *VERIFY, *options)
    archive.fails(2, "node", "verify")


def test_verify_says_which_runs_check_the_copies(archive: Archive) -> None:
    archive.file("a", field1="XY", off2="XY")
    assert archive.ok(*VERIFY, "--force").endswith("Marked 1 copy to be checked. Runs on alp1 check them.\n")
    text = archive.ok("node", "verify", "off2", "--force")
    assert text.endswith("No run works on the node; to activate it: alpenhorn node activate off2\n")
    archive.ok("node", "create", "spare1", "--group", "spare")
    archive.file("b", spare1="XY")
    assert "alpenhorn node activate spare1" in archive.ok("node", "verify", "spare1", "--force")
