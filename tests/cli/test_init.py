"""`alpenhorn init`, as a separate process in a home directory of the test, and on a pseudo-terminal."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpenhorn import config
from tests.fixtures.archive import stand_in
from tests.fixtures.images import Image
from tests.fixtures.server import NetworkServer
from tests.fixtures.systemd import under_systemd

pytestmark = pytest.mark.skipif(
    any(path.exists() for path in (config.SYSTEM_FILE, *config.DAEMON_FILES)),
    reason="this machine has a configuration of its own",
)

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
CRON = 'test "$1" = - && exec cat > "$HOME/tab"; exec cat "$HOME/tab" 2>/dev/null'
TABLES = {
    "storagehost": "name",
    "storagegroup": "name",
    "storagenode": "name, root, host_id, group_id, active, archive, auto_import, auto_verify",
    "storagetransferaction": "node_from_id, group_to_id, autosync, autoclean",
    "archivefileimportrequest": "path, node_id, completed",
    "archivefilecopyrequest": "file_id, node_from_id, group_to_id, completed, cancelled",
    "archivefilecopy": "file_id, node_id, has_file, wants_file",
}


class Home:
    """A home directory with data and two directories in place of disks."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.environ = {
            "PATH": f"{base}/bin:{os.environ['PATH']}",
            "HOME": str(base),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
        }
        stand_in(base / "bin", "alpenhorn", f'exec {sys.executable} -m alpenhorn "$@"')
        for name in ("data", "disk1", "disk2"):
            (base / name).mkdir()
        self.put("data/acq/one", b"one")
        self.put("data/acq/two", b"two")

    def put(self, path: str, content: bytes) -> None:
        at = self.base / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        os.utime(at, (1_700_000_000, 1_700_000_000))  # settled long ago

    def shell(self, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.base,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def init(self, *more: str) -> str:
        """Run it with the usual options and `more`; it must succeed."""
        done = self.shell(" ".join(("alpenhorn init --yes --keep data --on disk1 --on disk2", *more)))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, command: str, status: int = 1, **environ: str) -> str:
        """Run a command that must fail with one message and change nothing; return the message."""
        before = self.state()
        done = self.shell(command, **environ)
        assert done.returncode == status, (done.stdout, done.stderr)
        assert self.state() == before
        assert len(done.stderr.splitlines()) == 1 and "$ " not in done.stdout, done
        return done.stderr

    def state(self) -> tuple[list[Any], ...]:
        """All files, with their contents, and the rows of the index."""
        files = [
            (str(path), path.is_file() and ".local" not in str(path) and path.read_bytes())
            for path in sorted(self.base.rglob("*"))
            if not path.name.endswith(("-wal", "-shm"))
        ]
        return files, *self.rows().values()

    def rows(self, path: str = ".local/share/alpenhorn/alpenhorn.db") -> dict[str, list[Any]]:
        if not (self.base / path).exists():
            return {}
        with closing(sqlite3.connect(self.base / path)) as index:
            return {
                table: index.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()
                for table, columns in TABLES.items()
            }

    def synced(self) -> None:
        done = self.shell("alpenhorn sync")
        assert done.returncode == 0, done.stderr

    def copies(self, name: str) -> dict[str, bytes]:
        root = self.base / name
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
            and "ALPENHORN_NODE" not in path.name
            and ".alpenhorn" not in str(path.relative_to(root))
        }


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def commands(said: str) -> list[str]:
    return [line.removeprefix("$ ") for line in said.splitlines() if line.startswith("$ ")]


# --- one command ---------------------------------------------------------------------------------------


def test_one_command_and_two_runs_leave_two_good_copies_of_everything(home: Home) -> None:
    home.init()
    home.synced()
    home.put("data/later/three", b"three")
    home.synced()
    wanted = {"acq/one": b"one", "acq/two": b"two", "later/three": b"three"}
    assert home.copies("data") == home.copies("disk1") == home.copies("disk2") == wanted
    with closing(sqlite3.connect(home.base / ".local/share/alpenhorn/alpenhorn.db")) as index:
        sums = dict(index.execute("SELECT name, md5sum FROM archivefile"))
        assert sums == {
            path.split("/")[1]: hashlib.md5(content).hexdigest() for path, content in wanted.items()
        }
        good = "SELECT n.name, COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
        good += " WHERE c.has_file = 'Y' AND c.wants_file = 'Y' AND n.archive = 1 GROUP BY n.name"
        assert index.execute(good).fetchall() == [("disk1", 3), ("disk2", 3)]
    # Both archive copies count, so the original can be released.
    assert home.shell("alpenhorn node clean data --now --force").returncode == 0
    home.synced()
    assert home.copies("data") == {} and home.copies("disk1") == home.copies("disk2") == wanted


def test_the_printed_commands_do_the_same_when_they_are_typed(
    home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (home.base / "it's $1").mkdir()
    more = ('--on "it\'s \\$1"', "--host cedar", f"--index sqlite:///{home.base}/index.db")
    said = home.init(*more)
    made = home.rows("index.db")
    conf = home.base / ".config/alpenhorn/alpenhorn.toml"
    text = conf.read_text()
    (home.base / "index.db").unlink()
    conf.unlink()
    conf.parent.rmdir()
    typed = commands(said)
    assert len(typed) == 10  # a file, the tables, a host, four nodes and three rules
    for command in typed:
        done = home.shell(command)
        assert done.returncode == 0, (command, done.stderr)
    assert home.rows("index.db") == made and conf.read_text() == text
    assert not (home.base / ".local").exists()
    assert home.init(*more).count("No change") == 1


def test_a_second_time_nothing_is_changed_and_it_is_said(home: Home) -> None:
    home.init()
    home.synced()
    before = home.state()
    said = home.init()
    assert home.state() == before and commands(said) == []
    assert "No change: everything is set up already." in said
    for what in ("host", "node data", "node disk1", "node disk2", "copies from data into disk1"):
        assert f"Already there: {what}" in said


def test_another_disk_gets_the_files_that_are_there(home: Home) -> None:
    home.init()
    home.synced()
    (home.base / "disk3").mkdir()
    typed = commands(home.init("--on disk3"))
    assert [line.split(" --")[0] for line in typed] == [
        "alpenhorn node create disk3",
        "alpenhorn group autosync disk3 data",
        "alpenhorn group sync disk3 data",
    ]
    home.synced()
    assert home.copies("disk3") == home.copies("data")


def test_copies_are_read_again_unless_that_is_not_wanted(home: Home) -> None:
    said = home.init("--auto-verify 0")
    assert "decay is not noticed" in said and "alpenhorn node modify data --auto-verify COUNT" in said
    assert [row[-1] for row in home.rows()["storagenode"]] == [0, 0, 0]
    (home.base / "disk3").mkdir()
    said = home.init("--on disk3")
    assert "reads up to 10 copies on each new node again" in said and "7 days" in said
    assert "alpenhorn node modify disk3 --auto-verify COUNT" in said
    assert [row[-1] for row in home.rows()["storagenode"]] == [0, 0, 0, 10]
    assert "reads up to" not in home.init("--on disk3")  # no node is new
    home.synced()
    with closing(sqlite3.connect(home.base / ".local/share/alpenhorn/alpenhorn.db")) as index, index:
        index.execute("UPDATE sync_verification SET verified = '2024-06-01 00:00:00'")
    home.synced()
    with closing(sqlite3.connect(home.base / ".local/share/alpenhorn/alpenhorn.db")) as index:
        again = index.execute(
            "SELECT DISTINCT node_id FROM sync_verification WHERE verified > '2025-01-01'"
        ).fetchall()
    assert again == [(4,)]


def test_check_shows_the_commands_and_runs_none(home: Home) -> None:
    before = home.state()
    said = home.init("--check")
    assert home.state() == before
    assert commands(said) == commands(home.init())


@pytest.mark.parametrize("number", range(1, 8))
def test_killed_in_the_middle_it_is_completed_by_the_next_one(home: Home, number: int) -> None:
    process = subprocess.Popen(
        ["alpenhorn", "init", "--yes", "--keep", "data", "--on", "disk1", "--on", "disk2"],
        cwd=home.base,
        env=home.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        executable=str(home.base / "bin/alpenhorn"),
        text=True,
    )
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("$ ")
        if seen == number:
            break
    process.kill()
    process.communicate()
    assert seen == number
    home.init()
    made = {table: rows for table, rows in home.rows().items() if rows}
    assert [row[0] for row in made["storagenode"]] == ["data", "disk1", "disk2"]
    assert len(made["storagetransferaction"]) == 2 and len(made["archivefileimportrequest"]) == 3
    home.synced()
    assert home.copies("disk1") == home.copies("disk2") == home.copies("data")


def test_what_is_not_kept_is_said_and_reconcile_lists_it(home: Home) -> None:
    for path in ("data/loose", "data/.hidden", "data/acq/.hidden"):
        home.put(path, b"")
    (home.base / "data/link").symlink_to("loose")
    said = home.init()
    assert "files directly in it (now 1; move" in said and "with a dot (now 1)" in said
    assert "symbolic links (now 1)" in said
    assert "or let runs do that: alpenhorn node modify data --top-acq ACQ)" in said
    assert "and files whose path matches [import] ignore in the configuration." in said
    home.shell("alpenhorn sync")
    assert "with a dot (now 1)" in home.init()  # files of alpenhorn itself are not counted
    match = re.search("To list what is not kept: (alpenhorn .*?)[.] ", said)
    assert match
    listed = home.shell(match[1]).stdout
    assert all(f"unknown: data: {name}" in listed for name in ("loose", ".hidden", "link", "acq/.hidden"))


def test_files_directly_in_a_directory_are_kept_with_an_acquisition_for_them(home: Home) -> None:
    home.put("data/loose", b"loose")
    home.init()
    assert home.shell("alpenhorn node modify data --top-acq inbox").returncode == 0
    home.put(".config/alpenhorn/alpenhorn.toml", b"[import]\nignore = ['.*[.]tmp', 'scratch/.*']\n")
    home.put("data/acq/x.tmp", b"not kept")
    said = home.init()
    top = "and files directly in it (now 1), which runs move into its directory inbox, are kept. Not kept: names"
    assert top in said and "matches [import] ignore in the configuration (now 2 patterns)." in said
    home.synced()
    kept = {"acq/one": b"one", "acq/two": b"two", "inbox/loose": b"loose"}
    assert home.copies("disk1") == home.copies("disk2") == kept


def test_the_cron_line_is_installed_on_request_and_once(home: Home) -> None:
    stand_in(home.base / "bin", "crontab", f'test -e "$HOME/tab" || touch "$HOME/tab"; {CRON}')
    said = home.init("--schedule cron", "--every 10")
    assert commands(said)[-1] == "alpenhorn crontab --every 10 --install"
    tab = (home.base / "tab").read_text()
    assert tab.startswith("*/10 * * * * ") and tab.endswith(" sync\n")
    assert commands(home.init("--schedule cron", "--every 10")) == []
    assert (home.base / "tab").read_text() == tab
    assert "crontab -e" in home.refused(
        "alpenhorn init --yes --keep data --on disk1 --on disk2 --schedule cron --every 15"
    )


@ROOT
def test_a_timer_is_installed_on_request_and_once(home: Home, terminal: Callable[[str], Terminal]) -> None:
    units, asked_for = home.base / "units", home.base / "asked"
    command = under_systemd(home.base, f"{NO_DISK} disk2 --schedule systemd --every 10")
    done = home.shell(command)
    assert done.returncode == 0, done.stderr
    assert commands(done.stdout)[-1] == "alpenhorn crontab --systemd --every 10 --install"
    assert "Started alpenhorn.timer: `alpenhorn sync` every 10 minutes." in done.stdout
    assert asked_for.read_text().splitlines()[-1] == "enable --now alpenhorn.timer"
    assert "OnUnitActiveSec=10min" in (units / "alpenhorn.timer").read_text()
    assert '"sync"' in (units / "alpenhorn.service").read_text()
    done = home.shell(command)
    assert done.returncode == 0 and "No change: everything is set up already." in done.stdout
    # The same by a question.
    for path in (*units.iterdir(), home.base / "enabled", asked_for):
        path.unlink()
    asked = terminal(under_systemd(home.base, "alpenhorn init --keep data --on disk1 --on disk2"))
    asked.answer("Name of this host [", "")
    asked.answer("Start runs regularly by", "systemd")
    asked.answer("Run them", "y")
    assert asked.status() == 0, asked.said
    assert asked_for.read_text().splitlines()[-1] == "enable --now alpenhorn.timer"
    assert "OnUnitActiveSec=5min" in (units / "alpenhorn.timer").read_text()


# --- conflicts -----------------------------------------------------------------------------------------

NO_DISK = "alpenhorn init --yes --keep data --on disk1 --on "


def before_any(home: Home) -> None:
    """Nothing is there."""


def all_there(home: Home) -> None:
    home.init()


def with_node(*more: str) -> Callable[[Home], None]:
    def prepare(home: Home) -> None:
        assert home.shell("alpenhorn host create `uname -n | cut -d. -f1`").returncode == 0
        command = "alpenhorn node create old --create-group --host `uname -n | cut -d. -f1` "
        assert home.shell(f"{command} {' '.join(more)}").returncode == 0

    return prepare


def marked(home: Home) -> None:
    home.put("disk2/ALPENHORN_NODE", b"other\n")


def identified(home: Home) -> None:
    home.put("disk2/ALPENHORN_NODE", b"disk2\n")
    home.put("disk2/.alpenhorn/identity", b"")


def configured(home: Home) -> None:
    home.put(".config/alpenhorn/alpenhorn.toml", b'[sync]\nhost = "cedar"\n')


CONFLICTS: list[tuple[Callable[[Home], None], str, int, str]] = [
    (before_any, NO_DISK + "disk3", 1, "no such directory; nothing was changed; create it"),
    (before_any, NO_DISK + "data/acq/one", 1, "not a directory"),
    (before_any, NO_DISK + "disk1", 1, "is also the root"),
    (before_any, NO_DISK + "data/acq", 1, "lies in the root"),
    (before_any, NO_DISK + ".", 1, "contains the root"),
    (before_any, NO_DISK + "data=disk2", 1, "node data: named twice"),
    (marked, NO_DISK + "disk2", 1, "is the storage of node other"),
    (identified, NO_DISK + "disk2", 1, "is the storage of node disk2 that this index does not have"),
    (all_there, "alpenhorn init --yes --keep data --on disk2=disk1 --on disk2", 1, "is the root of node disk1 already"),
    (all_there, "alpenhorn init --yes --keep data=. --on disk1", 1, "node data: exists already"),
    (with_node("--root $HOME/disk2"), NO_DISK + "disk2", 1, "alpenhorn node activate old"),
    (with_node("--root $HOME/disk2", "--activate"), NO_DISK + "disk2", 1, "alpenhorn node modify old --archive"),
    (with_node("--root $HOME/data", "--activate"), NO_DISK + "disk2", 1, "alpenhorn node modify old --auto-import"),
    (with_node("--root $HOME/disk2/a", "--activate"), NO_DISK + "disk2", 1, "contains the root"),
    (with_node(), NO_DISK + "old=disk2", 1, "node old: exists already, with the root (none)"),
    (configured, NO_DISK + "disk2 --host fir", 1, "this host is named cedar in"),
    (configured, NO_DISK + "disk2 --index sqlite:////srv/i.db", 1, 'exists already, and is not edited'),
    (before_any, NO_DISK + "disk2 --index sqlite:////proc/none/i.db", 3, "cannot be created"),
    (before_any, NO_DISK + "disk2 --index mysql://ann@127.0.0.1:1/i", 3, "127.0.0.1"),
    (before_any, NO_DISK + "disk2 --schedule systemd", 1, "systemd is not running"),
    (before_any, "alpenhorn init", 1, "cannot ask without a terminal"),
]  # fmt: skip


@pytest.mark.parametrize(("prepare", "command", "status", "said"), CONFLICTS)
def test_a_conflict_is_one_message_and_nothing_is_changed(
    home: Home, prepare: Callable[[Home], None], command: str, status: int, said: str
) -> None:
    prepare(home)
    assert said in home.refused(command, status)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "--yes and --check need --keep DIR and --on DISK"),
        ("--keep data --on disk1 --index mysql://a:s3cret@h/i", "--password-file"),
        ("--keep data --on disk1 --index /srv/i.db", "sqlite:////absolute/path"),
        ("--keep data --on a/../-b=disk1", "-b=disk1"),
        ("--keep data --on -b=disk1", "begins with a dash"),
        ("--keep data --on x=", "names no directory"),
    ],
)
def test_wrong_options_change_nothing(home: Home, more: str, said: str) -> None:
    before = home.state()
    done = home.shell(f"alpenhorn init --yes {more}")
    assert done.returncode in (1, 2) and said in done.stderr and "s3cret" not in done.stderr
    assert home.state() == before


@ROOT
@pytest.mark.parametrize(
    ("options", "spoil", "said"),
    [("size=1m", "head -c 2M /dev/zero > disk2/fill", "is full"), ("size=1m,ro", "true", "is read-only")],
)
def test_a_full_or_read_only_disk_is_refused(home: Home, options: str, spoil: str, said: str) -> None:
    script = f"mount -t tmpfs -o {options} tmpfs disk2 && {{ {spoil} 2>/dev/null; {NO_DISK} disk2; }}"
    assert said in home.refused(f"exec unshare --mount sh -c '{script}'")


def test_an_index_that_cannot_be_written_is_refused_first(home: Home) -> None:
    home.init()
    done = home.shell(
        f"unshare --mount sh -c 'mount --bind .local .local && mount -o remount,ro,bind .local && {NO_DISK} data2'"
        if os.geteuid() == 0
        else f"chmod -R a-w .local; {NO_DISK} data2"
    )
    assert done.returncode == 3 and "$ " not in done.stdout and len(done.stderr.splitlines()) == 1, done


@ROOT
def test_roots_on_one_disk_are_named_and_on_two_disks_not(home: Home) -> None:
    with (
        Image(home.base / "image1", 16).mounted(home.base / "disk1"),
        Image(home.base / "image2", 16).mounted(home.base / "disk2"),
    ):
        done = home.shell(NO_DISK + "disk2 --check")
        assert done.returncode == 0 and "on one disk" not in done.stderr
        (home.base / "disk2/more").mkdir()
        done = home.shell(
            "alpenhorn init --check --keep data --on disk1 --on disk2/more --on disk2/lost+found"
        )
        assert f"{home.base}/disk2/more, {home.base}/disk2/lost+found are on one disk (loop" in done.stderr


# --- questions -----------------------------------------------------------------------------------------


class Terminal:
    """A command on a pseudo-terminal: wait for a text, then type a line."""

    def __init__(self, home: Home, command: str) -> None:
        self.said = ""
        self._at = 0
        child, self._terminal = pty.fork()
        if child == 0:
            os.chdir(home.base)
            os.execve("/bin/sh", ["/bin/sh", "-c", f"exec {command}"], home.environ)
        self._child = child

    def answer(self, question: str, line: str) -> None:
        while question not in self.said[self._at :]:
            self._read()
        self._at = self.said.index(question, self._at) + len(question)
        os.write(self._terminal, f"{line}\n".encode())

    def _read(self) -> None:
        try:
            piece = os.read(self._terminal, 10000)
        except OSError:
            piece = b""
        assert piece, f"ended before a question: {self.said}"
        self.said += piece.decode()

    def status(self) -> int:
        try:
            while True:
                piece = os.read(self._terminal, 10000)
                if not piece:
                    break
                self.said += piece.decode()
        except OSError:
            pass
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        os.close(self._terminal)
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)


@pytest.fixture
def terminal(home: Home) -> Iterator[Callable[[str], Terminal]]:
    started: list[Terminal] = []

    def start(command: str) -> Terminal:
        started.append(Terminal(home, command))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_the_questions_lead_to_the_same_as_the_options(
    home: Home, terminal: Callable[[str], Terminal]
) -> None:
    stand_in(home.base / "bin", "crontab", f'test -e "$HOME/tab" || touch "$HOME/tab"; {CRON}')
    asked = terminal("alpenhorn init")
    asked.answer("an SQLite file is enough; several hosts", "rubbish")
    asked.answer("Index (Enter", f"sqlite:///{home.base}/index.db")
    asked.answer("Name of this host [", "cedar")
    asked.answer("files are to be kept", "~/absent")
    asked.answer("no such directory", "")
    asked.answer("files are to be kept", "~/data")
    asked.answer("Disk for copies", "disk1")
    asked.answer("Another disk", "vault=disk2")
    asked.answer("Another disk", "")
    asked.answer("Start runs regularly by", "cron")
    asked.answer("Run them", "y")
    assert asked.status() == 0, asked.said
    assert "on one disk" in asked.said
    # Each command is shown before the question, and again when it is run.
    lines = [line.removeprefix("$ ") for line in asked.said.splitlines() if line.startswith("$ ")]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :] and len(lines) == 18
    rows = home.rows("index.db")
    assert rows["storagehost"] == [("cedar",)]
    assert [row[0] for row in rows["storagenode"]] == ["data", "disk1", "vault"]
    assert (home.base / "tab").read_text().startswith("*/5 ")
    again = terminal("alpenhorn init --keep data --on disk1 --on vault=disk2 --schedule cron")
    assert again.status() == 0 and "No change: everything is set up already." in again.said
    assert home.shell("alpenhorn sync").returncode == 0
    assert home.copies("disk1") == home.copies("disk2") == home.copies("data")


def test_with_all_options_only_whether_to_run_the_commands_is_asked(
    home: Home, terminal: Callable[[str], Terminal]
) -> None:
    stand_in(home.base / "bin", "crontab", f'test -e "$HOME/tab" || touch "$HOME/tab"; {CRON}')
    home.put("password", b"s3cret\n")
    asked = terminal(
        f"alpenhorn init --keep data --on disk1 --on vault=disk2 --index sqlite:///{home.base}/index.db"
        " --password-file password --host cedar --schedule cron --every 10"
    )
    asked.answer("Run them", "y")
    assert asked.status() == 0, asked.said
    before = asked.said.partition("Run them")[0].splitlines()
    assert before[-1] == "" or before[-1].startswith("$ "), before
    for question in (
        "Index (Enter",
        "Name of this host",
        "files are to be kept",
        "Disk for copies",
        "regularly by",
    ):
        assert question not in asked.said
    assert [row[0] for row in home.rows("index.db")["storagenode"]] == ["data", "disk1", "vault"]
    assert home.rows("index.db")["storagehost"] == [("cedar",)]
    assert (home.base / "tab").read_text().startswith("*/10 ")


def test_no_leaves_everything_as_it_was(home: Home, terminal: Callable[[str], Terminal]) -> None:
    before = home.state()
    asked = terminal("alpenhorn init --keep data --on disk1 --schedule none")
    asked.answer("Index (Enter", "")
    asked.answer("Name of this host [", "")
    asked.answer("Run them", "n")
    assert asked.status() == 1
    assert home.state() == before


@ROOT
@pytest.mark.ci
def test_mounted_file_systems_are_offered_by_number(home: Home, terminal: Callable[[str], Terminal]) -> None:
    with Image(home.base / "image", 64).mounted(home.base / "disk1"):
        asked = terminal("alpenhorn init --keep data --schedule none --host cedar")
        asked.answer("Index (Enter", "")
        while "Disk for copies (" not in asked.said:
            asked._read()
        match = re.search(
            rf"  (\d+)  {home.base}/disk1  \(.*ext4, [0-9.]+ MiB free of [0-9.]+ MiB\)", asked.said
        )
        assert match, asked.said
        assert not re.search(r"  \d+  /  \(", asked.said), "the file system of the data itself"
        asked.answer("Disk for copies", match[1])
        asked.answer("Another disk", "")
        asked.answer("Run them", "y")
        assert asked.status() == 0, asked.said
    assert home.rows()["storagenode"][1][:2] == ("disk1", str(home.base / "disk1"))


# --- the daemon ----------------------------------------------------------------------------------------


def test_where_the_daemon_is_configured_its_index_is_not_replaced(home: Home) -> None:
    home.put(".config/alpenhorn/alpenhorn.conf", b"database: {url: 'sqlite:////srv/index.db'}\n")
    assert "alpenhorn config convert" in home.refused(NO_DISK + "disk2", 3)


# --- an index on a server ------------------------------------------------------------------------------


def test_an_empty_database_on_a_server_is_filled_once(home: Home, mariadb_index_url: str) -> None:
    home.init(f"--index '{mariadb_index_url}'", "--host cedar")
    home.synced()
    assert home.copies("disk1") == home.copies("disk2") == home.copies("data")
    assert commands(home.init(f"--index '{mariadb_index_url}'", "--host cedar")) == []
    assert not (home.base / ".local").exists()


def test_a_password_is_read_from_a_file_and_never_printed(
    home: Home, network_server: NetworkServer, network_database: str
) -> None:
    network_server.run(
        "CREATE USER starter@'%' IDENTIFIED BY 's3cret'", f"GRANT ALL ON {network_database}.* TO starter@'%'"
    )
    try:
        home.put("password", b"s3cret\n")
        url = f"mysql://starter@127.0.0.1:{network_server.port}/{network_database}"
        done = home.shell(f"{NO_DISK} disk2 --index {url} --password-file password")
        assert done.returncode == 0 and "s3cret" not in done.stdout + done.stderr, done.stderr
        conf = home.base / ".config/alpenhorn/alpenhorn.toml"
        text = conf.read_text()
        assert tomllib.loads(text) == {"database": {"url": url, "password_file": str(home.base / "password")}}
        conf.unlink()
        assert home.shell(commands(done.stdout)[0]).returncode == 0 and conf.read_text() == text
        home.synced()
        assert home.copies("disk1") == home.copies("disk2") == home.copies("data")
        # Without the password, nothing is written.
        conf.unlink()
        assert "access denied" in home.refused(f"{NO_DISK} disk2 --index {url}", 3)
    finally:
        network_server.run("DROP USER starter@'%'")


def test_tables_of_the_daemon_are_completed_and_its_nodes_used(home: Home) -> None:
    """`db init --only alpenhorn` makes the tables that the daemon has."""
    assert home.shell("alpenhorn db init --only alpenhorn").returncode == 0
    with closing(sqlite3.connect(home.base / ".local/share/alpenhorn/alpenhorn.db")) as index, index:
        index.execute("INSERT INTO storagehost (name) VALUES ('cedar')")
        index.execute("INSERT INTO storagegroup (name) VALUES ('far')")
        index.execute(
            "INSERT INTO storagenode (name, root, host_id, group_id, active, archive, auto_import, auto_verify,"
            f" min_avail_gb) VALUES ('vault', '{home.base}/disk1', 1, 1, 1, 1, 0, 0, 0)"
        )
    typed = commands(home.init("--host cedar"))
    assert [line.split(" --")[0] for line in typed[1:]] == [
        "alpenhorn db init",
        "alpenhorn node create data",
        "alpenhorn node create disk2",
        "alpenhorn group autosync far data",
        "alpenhorn group autosync disk2 data",
    ]
    assert [row[0] for row in home.rows()["storagenode"]] == ["vault", "data", "disk2"]
