"""`sync`, `clean` and `verify` of many files: statements, the display, Ctrl-C, a run beside them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alpenhorn.index.connection import Index
from tests.cli.conftest import Archive
from tests.fixtures.archive import Archive as RealArchive
from tests.fixtures.archive import wait_for
from tests.fixtures.index import MariaDBServer
from tests.fixtures.interrupting import require_interruption
from tests.fixtures.starts import VARIABLE
from tests.scan.statements import counted

MANY = 110_000  # makes two pieces
FIRST = 99_999  # files in the first of them
WHEN = "2026-07-22 10:00:00"

SYNC = ("node", "sync", "field1", "offsite")
GROUP_SYNC = ("group", "sync", "offsite", "field1")
CLEAN = ("node", "clean", "field1")
VERIFY = ("node", "verify", "field1")


def fill(index: Index, number: int = MANY, node_id: int = 1, has: str = "Y") -> None:
    """Files 1 to `number`, named 1.h5 and so on, of acquisition `many`, each with a copy on the node."""
    sequence = (
        "SELECT seq FROM seq_1_to_{}"
        if not index.dialect.in_a_file
        else (
            "WITH RECURSIVE s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < {}) SELECT seq FROM s"
        )
    )
    rows = f"({sequence.format(number)}) n"
    name = "seq || '.h5'" if index.dialect.in_a_file else "CONCAT(seq, '.h5')"
    with index.transaction():
        index.execute("INSERT INTO archiveacq (id, name) VALUES (1, 'many')")
        index.execute(
            "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered)"
            f" SELECT seq, 1, {name}, 1024, '{'0' * 32}', '{WHEN}' FROM {rows}"
        )
        index.execute(
            "INSERT INTO archivefilecopy (id, file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            f" SELECT seq, seq, {node_id}, '{has}', 'Y', 0, 4096, '{WHEN}' FROM {rows}"
        )


def states(index: Index) -> dict[str, int]:
    rows = index.execute(
        "SELECT has_file, wants_file, COUNT(*) FROM archivefilecopy GROUP BY has_file, wants_file"
    )
    return {f"{has}{wants}": count for has, wants, count in rows.fetchall()}


def pending(archive: Archive) -> int:
    return int(
        archive.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0")
    )


def never_ending(index: Index, copy_id: int) -> None:
    """Make a change of that copy go on for ever."""
    if index.dialect.in_a_file:
        index.execute(
            "CREATE VIEW forever AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT COUNT(*) AS c FROM n"
        )
        index.execute(
            f"CREATE TRIGGER slow BEFORE UPDATE ON archivefilecopy WHEN NEW.id = {copy_id}"
            " BEGIN SELECT c FROM forever; END"
        )
    else:
        index.execute(
            "CREATE TRIGGER slow BEFORE UPDATE ON archivefilecopy FOR EACH ROW"
            f" IF NEW.id = {copy_id} THEN DO SLEEP(10000); END IF"
        )


# --- a handful of statements ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "undo", "done"),
    [(SYNC, "--cancel", None), (GROUP_SYNC, "--cancel", None), (CLEAN, "--cancel", "YM")],
)
def test_many_files_take_a_handful_of_statements(
    archive: Archive, do: tuple[str, ...], undo: str, done: str | None
) -> None:
    fill(archive.index)
    for options, expected in (((), MANY), ((undo,), 0)):
        with counted() as statements:
            text = archive.ok(*do, *options, "--force")
        assert f"{MANY} " in text.splitlines()[0] and "(107.42 MiB)" in text and f" {MANY} " in text
        assert statements.count <= 30
        found = pending(archive) if done is None else states(archive.index).get(done, 0)
        assert found == expected


def test_a_check_of_many_files_takes_a_handful_of_statements(archive: Archive) -> None:
    fill(archive.index)
    for options, expected in ((("--all",), "MY"), (("--cancel", "--healthy"), "YY")):
        with counted() as statements:
            archive.ok(*VERIFY, *options, "--force")
        assert statements.count <= 30
        assert states(archive.index) == {expected: MANY}


def test_a_list_of_a_hundred_thousand_lines(archive: Archive, tmp_path: Path) -> None:
    fill(archive.index)
    listing = tmp_path / "list"
    listing.write_text(
        "# half relative, half below the root\n\n"
        + "".join(f"many/{number}.h5\n" for number in range(1, 50_001))
        + "".join(f"/srv/field1/many/{number}.h5\n" for number in range(50_001, 100_001))
    )
    assert "Released 100000 copies." in archive.ok(*CLEAN, "--force", "-F", str(listing))
    assert states(archive.index) == {"YM": 100_000, "YY": MANY - 100_000}
    listing.write_text(listing.read_text() + "many/no.h5\n")
    result = archive(*CLEAN, "-x", "--force", "-F", str(listing))
    assert result.status == 1 and "line 100003: 'many/no.h5';" in result.err
    assert states(archive.index) == {"YM": 100_000, "YY": MANY - 100_000}


# --- the display and Ctrl-C ----------------------------------------------------------------------------


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, archive: Archive, *arguments: str) -> None:
        self.seen = b""
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.environ.update({key: value for key, value in archive.environ.items() if value})
            os.environ["TERM"] = "xterm"
            # Coverage has set it in this fork.  A thread that is traced never gets on, in Python 3.11, if a signal for
            # the main thread comes while it calls a function, and the main thread waits for the database.
            os.environ.pop(VARIABLE, None)
            os.execv(sys.executable, [sys.executable, "-m", "alpenhorn", *arguments])

    def until(self, text: bytes) -> None:
        while text not in self.seen:
            more = self._read()
            assert more, self.seen
            self.seen += more

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> tuple[int, str]:
        """The exit status, and all that was shown."""
        while more := self._read():
            self.seen += more
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        self.child = 0
        return status, self.seen.decode()

    def _read(self) -> bytes:
        assert select.select([self.fd], [], [], LONGEST)[0], self.seen
        try:
            return os.read(self.fd, 10_000)
        except OSError:
            return b""  # the child has ended

    def close(self) -> None:
        os.close(self.fd)
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)


@contextmanager
def terminal(archive: Archive, *arguments: str) -> Iterator[Terminal]:
    shown = Terminal(archive, *arguments)
    try:
        yield shown
    finally:
        shown.close()


CTRL_C = b"\x03"
LONGEST = 200  # seconds without output


def test_ctrl_c_during_a_change_of_one_transaction_undoes_it(archive: Archive) -> None:
    for name in "abc":
        last = archive.file(name, field1="YY")
    never_ending(archive.index, last)
    with terminal(archive, *CLEAN, "--now", "--force") as shown:
        shown.until(b"Releasing 3 copies (2.93 KiB) on field1 ")
        shown.until(b"0:00:0")
        shown.type(CTRL_C)
        status, text = shown.end()
    assert status == 130
    assert text.endswith("note: stopped; nothing was changed\r\n\r\n")
    assert "\x1b[2K" in text.split("Releasing")[-1]  # the line is wiped off
    assert states(archive.index) == {"YY": 3}


def test_ctrl_c_during_a_change_of_many_pieces_keeps_the_finished_ones_and_says_so(archive: Archive) -> None:
    fill(archive.index)
    never_ending(archive.index, MANY)
    with terminal(archive, *CLEAN, "--force") as shown:
        shown.until(b"\xe2\x94\x81\xe2\x94\x81")  # a bar, in which the first piece is done
        wait_for(lambda: states(archive.index).get("YM") == FIRST, "the first piece")
        shown.type(CTRL_C)
        status, text = shown.end()
    assert status == 130
    assert f"note: stopped after {FIRST} of {MANY}; to do the rest, run the same command again" in text
    assert states(archive.index) == {"YM": FIRST, "YY": MANY - FIRST}
    archive.index.execute("DROP TRIGGER slow")
    assert f"Released {MANY - FIRST} copies." in archive.ok(*CLEAN, "--force")
    assert states(archive.index) == {"YM": MANY}


def test_ctrl_c_ends_it_while_another_program_has_the_lock(archive: Archive) -> None:
    """On SQLite nothing ends that waiting but the end of the process."""
    file_id = archive.file("a", field1="YY")
    with archive.index.transaction():
        archive.index.execute("UPDATE archivefilecopy SET last_update = last_update, ready = 1")
        with terminal(archive, *CLEAN, "--force") as shown:
            shown.until(b"Releasing 1 copy")
            shown.type(CTRL_C)
            status, text = shown.end()
    assert status == 130 and "note: stopped; nothing was changed" in text
    assert archive.copy(file_id, "field1") == "YY"


def test_ctrl_c_ends_a_statement_whose_display_has_no_terminal_any_more(archive: Archive) -> None:
    never_ending(archive.index, archive.file("a", field1="YY"))
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alpenhorn", *CLEAN, "--now", "--force"],
        env={
            **os.environ,
            **{key: value for key, value in archive.environ.items() if value},
            "TERM": "xterm",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
        start_new_session=True,  # a terminal that ended it with SIGHUP would be another case
    )
    os.close(writing)
    try:
        seen = b""
        while b"0:00:0" not in seen:
            seen += os.read(reading, 1000)
        os.close(reading)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST)  # 130, or 1 because its last words cannot be written either
    finally:
        process.kill()
        process.wait()
    assert states(archive.index) == {"YY": 1}


def test_ctrl_c_while_a_list_is_read(archive: Archive) -> None:
    archive.file("a", field1="YY")
    with terminal(archive, *VERIFY, "--all", "-F", "-") as shown:
        shown.until(b"Looking up the files in standard input")
        shown.type(CTRL_C)
        status, text = shown.end()
    assert status == 130 and "note: stopped; nothing was changed" in text
    assert states(archive.index) == {"YY": 1}


@pytest.mark.parametrize("through_pipe", [True, False])
def test_the_display_is_for_terminals_only(archive: Archive, through_pipe: bool) -> None:
    archive.file("a", field1="YY")
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "alpenhorn", *CLEAN, "--force", "-F", "-"],
        env={
            **os.environ,
            **{key: value for key, value in archive.environ.items() if value},
            "TERM": "xterm",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if through_pipe else writing,
    )
    os.close(writing)
    try:
        # The list is not at its end as long as its pipe is open.
        if through_pipe:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)
        else:
            seen = b""
            while b"Looking up the files in standard input" not in seen:
                seen += os.read(reading, 1000)
        out, err = process.communicate(b"pilot/a\n")
    finally:
        process.kill()
        process.wait()
        os.close(reading)
    assert process.returncode == 0 and b"Released 1 copy." in out and b"\x1b" not in out
    assert not err


def test_an_error_after_a_piece_says_how_far_it_came(archive: Archive) -> None:
    fill(archive.index)
    broken = "SELECT RAISE(ABORT, 'no')" if archive.index.dialect.in_a_file else "SIGNAL SQLSTATE '45000'"
    begin = (
        f"WHEN NEW.id = {MANY} BEGIN {broken}; END"
        if archive.index.dialect.in_a_file
        else f"FOR EACH ROW IF NEW.id = {MANY} THEN {broken}; END IF"
    )
    archive.index.execute(f"CREATE TRIGGER refuse BEFORE UPDATE ON archivefilecopy {begin}")
    result = archive(*CLEAN, "--force")
    assert result.status in (1, 3) and "Error: " in result.err and "Traceback" not in result.err
    assert f"note: stopped after {FIRST} of {MANY}; to do the rest, run the same command again" in result.err
    assert states(archive.index) == {"YM": FIRST, "YY": MANY - FIRST}


def test_a_statement_is_ended_by_another_thread(index: Index) -> None:
    require_interruption(index, index.execute)
    assert index.execute("SELECT 1").fetchone() == (1,)


# --- beside a run --------------------------------------------------------------------------------------


def test_a_run_waits_for_a_bulk_release_and_both_end_well(
    mariadb_archive: RealArchive, mariadb: MariaDBServer
) -> None:
    archive = mariadb_archive
    archive.node("field")
    ids = archive.files(50, "field", size=100)
    archive.do("UPDATE archivefilecopy SET has_file = 'M'")
    last = archive.one("SELECT MAX(id) FROM archivefilecopy")
    archive.do(
        "CREATE TRIGGER gate BEFORE UPDATE ON archivefilecopy FOR EACH ROW"
        f" IF NEW.id = {last} AND NEW.wants_file = 'M' AND OLD.wants_file = 'Y' THEN DO GET_LOCK('gate', 200); END IF"
    )
    gate = mariadb.connect()
    cursor = gate.cursor()

    def told(sql: str) -> int:
        cursor.execute(sql)
        return int(cursor.fetchone()[-1])

    try:
        cursor.execute("SELECT GET_LOCK('gate', 0)")
        # It has locked all copies but the last, and waits.
        bulk = archive.start("node", "clean", "field", "--include-bad", "--force")
        wait_for(
            lambda: told("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'"),
            "the release",
        )
        run = archive.start("sync")
        wait_for(lambda: told("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"), "the run")
        cursor.execute("SELECT RELEASE_LOCK('gate')")
        released, synced = bulk.result(), run.result()
    finally:
        gate.close()
    assert released.status == 0 and "Released 50 copies." in released.out, released
    assert synced.status == 0 and synced.silent, synced
    assert {archive.copy(file_id, "field") for file_id in ids} == {"YM"}
    assert archive.claims() == 0
