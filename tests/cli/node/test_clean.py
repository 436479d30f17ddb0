from __future__ import annotations

import datetime
import os
import pty
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Archive
from tests.scan.statements import counted

HOUR = datetime.timedelta(hours=1)


def states(archive: Archive, node: str = "field1") -> dict[str, str]:
    """File name to has_file and wants_file on the node."""
    rows = archive.all(
        "SELECT f.name, c.has_file, c.wants_file FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " WHERE c.node_id = ?",
        archive.id("storagenode", node),
    )
    return {name: f"{has}{wants}" for name, has, wants in rows}


def register(archive: Archive, name: str, when: datetime.datetime | str) -> None:
    archive.index.execute("UPDATE archivefile SET registered = ? WHERE name = ?", (when, name))


def pin(archive: Archive, file_id: int, node: str | None = None) -> None:
    node_id = 0 if node is None else archive.id("storagenode", node)
    archive.insert("sync_pin", file_id=file_id, node_id=node_id, reason="kept", pinned="2026-07-22 10:00:00")


def claim(archive: Archive, file_id: int, node: str) -> None:
    node_id = archive.id("storagenode", node)
    archive.insert(
        "sync_claim",
        kind="delete",
        file_id=file_id,
        target_id=node_id,
        node_id=node_id,
        reserved_b=0,
        host="alp1",
        run_id=1,
        expires=archive.index.now() + HOUR,
        fence=1,
    )


@pytest.fixture
def every_state(archive: Archive) -> Archive:
    """A file of each state on field1, named as the state."""
    for has in "YMXN":
        for wants in "YMN":
            archive.file(has + wants, field1=has + wants)
    return archive


def changed(archive: Archive) -> dict[str, str]:
    return {name: state for name, state in states(archive).items() if name != state}


# --- node clean: states --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"YY": "YM"}),
        (("--now",), {"YY": "YN", "YM": "YN"}),
        (("--include-bad",), {"YY": "YM", "MY": "MM", "XY": "XM"}),
        (
            ("--now", "--include-bad"),
            {"YY": "YN", "YM": "YN", "MY": "MN", "MM": "MN", "XY": "XN", "XM": "XN"},
        ),
        (("-x",), {"YM": "YY", "YN": "YY", "MM": "MY", "MN": "MY", "XM": "XY", "XN": "XY"}),
    ],
)
def test_clean_changes_only_copies_in_the_selected_states(
    every_state: Archive, options: tuple[str, ...], expected: dict[str, str]
) -> None:
    text = every_state.ok("node", "clean", "field1", *options, "--force")
    assert changed(every_state) == expected
    assert f" {len(expected)} " in text
    nothing = every_state.ok("node", "clean", "field1", *options, "--force")
    assert nothing.startswith("No" if options == ("-x",) else "Nothing to release on field1")
    assert changed(every_state) == expected


def test_dry_run_releases_nothing_at_once_either(every_state: Archive) -> None:
    """-n was --now in the daemon: typed out of habit, it must not delete."""
    text = every_state.ok("node", "clean", "field1", "--now", "-n")
    assert "Would release 2 copies" in text and changed(every_state) == {}
    assert text == every_state.ok("node", "clean", "field1", "--now", "--check")
    assert "No such option '-n'" in every_state.fails(
        2, "file", "clean", "pilot/YY", "--node", "field1", "-n"
    )


def test_an_archive_node_is_refused_without_archive_ok(archive: Archive) -> None:
    archive.file("a", off1="YY", off2="YM")
    for options in ((), ("--now",), ("--check",)):
        message = archive.fails(1, "node", "clean", "off1", *options)
        assert "off1 is an archive node; nothing was changed" in message and "--archive-ok" in message
    archive.ok("node", "clean", "off1", "--archive-ok", "--force")
    assert states(archive, "off1") == {"a": "YM"}
    # To want copies again is no danger.
    archive.ok("node", "clean", "off2", "--cancel", "--force")
    assert states(archive, "off2") == {"a": "YY"}


# --- node clean: selection -----------------------------------------------------------------------------


def test_by_acquisition_list_and_age(archive: Archive, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    for name, acq, days in (("new", "one", 1), ("old", "one", 3), ("other", "two", 3), ("later", "two", 1)):
        archive.file(name, acq=acq, field1="YY")
        register(archive, name, now - datetime.timedelta(days=days))
    listing = tmp_path / "list"
    listing.write_text("# old ones\n\none/old\none/old\n /srv/field1/two/other \n")
    check = ("node", "clean", "field1", "--check")
    assert "release 2 copies" in archive.ok(*check, "--acq", "one")
    assert "release 4 copies" in archive.ok(*check, "--acq", "one", "--acq", "two")
    assert "release 2 copies" in archive.ok(*check, "--days", "2")
    assert "release 2 copies" in archive.ok(*check, "-F", str(listing))
    assert "release 1 copy" in archive.ok(*check, "-F", "-", stdin="one/new\n")
    archive.ok("node", "clean", "field1", "--acq", "one", "-d", "2", "-F", str(listing), "--force")
    assert states(archive) == {"new": "YY", "old": "YM", "other": "YY", "later": "YY"}
    archive.ok("node", "clean", "field1", "--force", "--now")
    archive.ok("node", "clean", "field1", "--cancel", "--acq", "one", "-d", "2", "--force")
    assert states(archive) == {"new": "YN", "old": "YY", "other": "YN", "later": "YN"}
    archive.fails(1, "node", "clean", "field1", "--acq", "three", "--force")


def test_only_files_that_are_in_all_target_groups(archive: Archive) -> None:
    archive.ok("node", "create", "spare1", "--group", "spare")
    archive.file("both", field1="YY", off2="YY", spare1="YY")
    archive.file("one", field1="YY", off1="YY")
    archive.file("suspect", field1="YY", off1="MY", spare1="YY")
    archive.file("nowhere", field1="YY")
    clean = ("node", "clean", "field1", "--force")
    archive.ok(*clean, "--target", "offsite", "--target", "spare")
    assert states(archive) == {"both": "YM", "one": "YY", "suspect": "YY", "nowhere": "YY"}
    archive.ok(*clean, "--target", "offsite")
    assert states(archive) == {"both": "YM", "one": "YM", "suspect": "YY", "nowhere": "YY"}
    assert "Nothing to release" in archive.ok(*clean, "--target", "field")
    archive.fails(1, *clean, "--target", "nogroup")


def test_size_counts_what_is_released_already_and_goes_by_registration(archive: Archive) -> None:
    gib = 2**30
    for day, name in enumerate("dcba", 1):
        archive.file(name, size=gib, field1="YY")
        register(archive, name, f"2026-07-{day:02} 10:00:00")
    archive.file("before", size=gib, field1="YM")
    clean = ("node", "clean", "field1", "--force")
    assert "Released 2 copies." in archive.ok(*clean, "--size", "2.5")
    assert states(archive) == {"d": "YM", "c": "YM", "b": "YY", "a": "YY", "before": "YM"}
    text = archive.ok(*clean, "--size", "3")
    assert text == "Nothing to release on field1: 3.00 GiB are already released.\n"
    # For good none is released yet, and those that were released for want of room come in their turn.
    archive.ok(*clean, "--now", "-s", "2")
    assert states(archive) == {"d": "YN", "c": "YN", "b": "YY", "a": "YY", "before": "YM"}
    archive.ok(*clean, "--now", "-s", "100")
    assert set(states(archive).values()) == {"YN"}


def test_a_list_with_hostile_names_changes_nothing_unless_all_are_files(
    archive: Archive, tmp_path: Path
) -> None:
    hostile = ["-rf", "a;b", "'; DROP TABLE archivefile; --", "%s%n", "x?y", "ü\u202e", "a/../b", "`id`"]
    for name in hostile:
        archive.file(name, field1="YY")
    archive.file("safe", field1="YY")
    listing = tmp_path / "list"
    listing.write_text("".join(f"pilot/{name}\n" for name in hostile))
    clean = ("node", "clean", "field1", "--force", "-F", str(listing))
    archive.ok(*clean)
    assert states(archive) == {**dict.fromkeys(hostile, "YM"), "safe": "YY"}
    listing.write_bytes(b"pilot/safe\npilot/\xff\n/etc/passwd\n../pilot/safe\npilot/s\0fe\n\x1b[2J\n")
    message = archive.fails(1, *clean)
    assert "line 2: 'pilot/\\udcff', line 3: '/etc/passwd', line 4: '../pilot/safe' and 2 more" in message
    archive.fails(2, "node", "clean", "field1", "-F", str(tmp_path / "nolist"))
    listing.write_text("#\n")
    assert "Nothing to release" in archive.ok(*clean)


def test_the_statements_do_not_grow_with_the_files(archive: Archive) -> None:
    counts = []
    for number in (3, 300):
        for one in range(number):
            archive.file(f"{number}-{one}", field1="YY")
        with counted() as statements:
            archive.ok("node", "clean", "field1", "--force")
        counts.append(statements.count)
    assert counts[0] == counts[1] <= 20


# --- node clean: pins, the brake, words ----------------------------------------------------------------


def test_pinned_copies_are_left_out_and_told(archive: Archive) -> None:
    pin(archive, archive.file("everywhere", field1="YY"))
    pin(archive, archive.file("here", field1="YY"), "field1")
    pin(archive, archive.file("elsewhere", field1="YY"), "off1")
    text = archive.ok("node", "clean", "field1", "--now", "--force")
    assert "Left out because pinned: 2 copies (1.95 KiB).\n" in text and "Released 1 copy." in text
    assert states(archive) == {"everywhere": "YY", "here": "YY", "elsewhere": "YN"}
    text = archive.ok("node", "clean", "field1", "--now", "--check")
    assert text.startswith("Left out") and text.endswith("Nothing to release on field1.\n")


def test_more_than_a_run_deletes_unasked_is_told(archive: Archive, tmp_path: Path) -> None:
    config = tmp_path / "few.toml"
    config.write_text("[sync]\ndelete_limit = 2\n")
    for name in "abc":
        archive.file(name, field1="YY")
    archive.file("released", field1="YN")
    clean = ("-c", str(config), "node", "clean", "field1")
    told = "This makes 4 released copies of 4 on field1. A run deletes at most 2"
    assert told in archive.ok(*clean, "--now", "--check")
    assert "--allow-mass-delete" in archive.ok(*clean, "--now", "--force")
    archive.ok(*clean, "--cancel", "--force")
    # What is released for want of room goes only as far as room is needed.
    assert "--allow-mass-delete" not in archive.ok(*clean, "--force")
    archive.ok(*clean, "--cancel", "--force")
    archive.index.execute("DELETE FROM archivefilecopy")
    for name in "de":
        archive.file(name, field1="YY")
    assert "--allow-mass-delete" not in archive.ok(*clean, "--now", "--force")


def test_clean_says_which_runs_delete_the_released_copies(archive: Archive) -> None:
    archive.ok("node", "modify", "off1", "--min-avail", "1")
    archive.ok("node", "modify", "field1", "--min-avail", "1")

    def told(node: str, *options: str) -> str:
        archive.index.execute("UPDATE archivefilecopy SET wants_file = 'Y'")
        return archive.ok("node", "clean", node, "--archive-ok", "--force", *options).splitlines()[-1]

    archive.file("a", field1="YY", off1="YY", off2="YY")
    assert told("field1", "--now") == "Released 1 copy. The next run on alp1 deletes them if that is safe."
    runs = "Runs on alp1 delete them when room is needed, if that is safe."
    assert told("field1") == f"Released 1 copy. {runs}"
    assert "only if released with --now" in told("off1")
    assert "alpenhorn node activate off2" in told("off2", "--now")
    archive.ok("node", "modify", "field1", "--min-avail", "0")
    assert "alpenhorn node modify field1 --min-avail SIZE" in told("field1")


def test_check_only_counts(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.file("b", size=None, field1="YY")
    archive.file("c", field1="YN")
    before = archive.rows()
    text = archive.ok("node", "clean", "field1", "--check", "--now")
    what = "2 copies (1000 B, 1 of unknown size) on field1, to be deleted as soon as that is safe"
    assert text == f"Would release {what}.\n"
    text = archive.ok("node", "clean", "field1", "--check", "--cancel")
    assert text == "Would cancel the release of 1 copy (1000 B) on field1.\n"
    assert archive.rows() == before


def test_nothing_is_done_without_a_terminal_and_without_force(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.file("b", field1="YN")
    message = archive.fails(1, "node", "clean", "field1")
    what = "Release 1 copy (1000 B) on field1, to be deleted when room is needed?"
    assert f'cannot ask "{what}" without a terminal; nothing was changed; use --force' in message
    assert "--force" in archive.fails(1, "node", "clean", "field1", "--cancel")
    assert "standard input was read" in archive.fails(
        1, "node", "clean", "field1", "-F", "-", stdin="pilot/a\n"
    )


@pytest.mark.parametrize(("answer", "status", "state"), [(b"y\n", 0, "YN"), (b"n\n", 1, "YY")])
def test_it_asks_on_a_terminal(archive: Archive, answer: bytes, status: int, state: str) -> None:
    archive.file("a", field1="YY")
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update({key: value for key, value in archive.environ.items() if value})
        os.execv(sys.executable, [sys.executable, "-m", "alpenhorn", "node", "clean", "field1", "--now"])
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(terminal, 1000)
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
        ("--cancel", "--now"),
        ("--cancel", "--size", "1"),
        ("--cancel", "--target", "offsite"),
        ("--cancel", "--include-bad"),
        ("--days", "0"),
        ("--days", "-1"),
        ("--days", "x"),
        ("--days", "99999999999"),
        ("--size", "0"),
        ("--size", "nan"),
        ("--size", "much"),
    ],
)
def test_wrong_usage(archive: Archive, options: tuple[str, ...]) -> None:
    archive.file("a", field1="YY")
    archive.fails(2, "node", "clean", "field1", *options)


def test_an_unknown_node_or_file_is_named(archive: Archive) -> None:
    archive.file("a", field1="YY")
    assert "no node called 'feild1'; did you mean 'field1'?" in archive.fails(1, "node", "clean", "feild1")
    assert "no node called" in archive.fails(1, "file", "clean", "pilot/a", "--node", "nix")
    assert "no file called 'pilot/b'" in archive.fails(1, "file", "clean", "pilot/b", "--node", "field1")
    archive.fails(2, "node", "clean")
    archive.fails(2, "file", "clean")


def test_cancel_while_a_run_deletes_is_told(archive: Archive) -> None:
    file_id = archive.file("a", field1="MN")
    claim(archive, file_id, "field1")
    result = archive("node", "clean", "field1", "--cancel", "--force")
    assert states(archive) == {"a": "MY"}
    assert "Cancelled the release of 1 copy.\n" in result.out
    assert result.err == "note: node field1: a run is deleting 1 copy now\n"


# --- file clean ----------------------------------------------------------------------------------------


def on(archive: Archive, file_id: int) -> tuple[str | None, ...]:
    return tuple(archive.copy(file_id, node) for node in ("field1", "off1", "off2"))


@pytest.mark.parametrize("more", [(), ("--now",), ("--archive-ok",)])
def test_file_clean_is_refused_without_a_node_or_cancel(archive: Archive, more: tuple[str, ...]) -> None:
    file_id = archive.file("a", field1="YY", off1="YY")
    assert "give --node NODE, or --cancel" in archive.fails(2, "file", "clean", "pilot/a", *more)
    assert on(archive, file_id) == ("YY", "YY", None)


def test_file_clean_on_one_node(archive: Archive) -> None:
    file_id = archive.file("a", field1="YY", off1="YY")
    message = archive.fails(1, "file", "clean", "pilot/a", "--node", "off1")
    assert "off1 is an archive node; nothing was changed" in message
    archive.ok("file", "clean", "pilot/a", "--node", "off1", "--archive-ok", "--now")
    assert on(archive, file_id) == ("YY", "YN", None)
    archive.ok("file", "clean", "/srv/field1/pilot/a", "--node", "field1")
    assert on(archive, file_id) == ("YM", "YN", None)
    archive.ok("file", "clean", "pilot/a", "--node", "field1", "--now")
    assert on(archive, file_id) == ("YN", "YN", None)
    assert "pilot/a: no copy on off2" in archive.fails(
        1, "file", "clean", "pilot/a", "--node", "off2", "--archive-ok"
    )


def test_file_clean_takes_only_good_copies_that_are_not_released_nor_pinned(archive: Archive) -> None:
    archive.file("suspect", field1="MY")
    archive.file("released", field1="YM")
    pin(archive, archive.file("pinned", field1="YY"))
    archive.file("nowhere")
    text = archive.ok("file", "clean", "pilot/released", "--node", "field1")
    assert text == "Already released: pilot/released on field1.\n"
    for name, words in (
        ("suspect", "suspect; to release such copies: alpenhorn node clean field1 --include-bad"),
        ("pinned", "pinned: kept; to remove the pin: alpenhorn file unpin"),
    ):
        path = f"pilot/{name}"
        before = states(archive)
        assert f"{path} on field1: not released: {words}" in archive.fails(
            1, "file", "clean", path, "--node", "field1"
        )
        assert states(archive) == before
    assert "pilot/nowhere: no copy;" in archive.fails(1, "file", "clean", "pilot/nowhere", "-x")


def test_file_clean_can_be_cancelled(archive: Archive) -> None:
    file_id = archive.file("a", field1="YM", off1="MN", off2="NN")
    claim(archive, file_id, "off1")
    archive.fails(2, "file", "clean", "pilot/a", "--cancel", "--now")
    archive.ok("file", "clean", "pilot/a", "-x", "--node", "field1")
    assert on(archive, file_id) == ("YY", "MN", "NN")
    result = archive("file", "clean", "pilot/a", "-x")
    assert on(archive, file_id) == ("YY", "MY", "NN")
    assert result.out == "Cancelled the release of pilot/a on off1.\n"
    assert result.err == "note: pilot/a on off1: a run is deleting this copy now\n"
    assert "No release of pilot/a to undo" in archive.ok("file", "clean", "pilot/a", "-x")
