"""A simulation of people and machines that use an archive, with real disks, files and runs.

A medium is a directory that moves between a node's root and a shelf, as a disk does.  A file has as many copies as
there are inodes with its content on all media, plugged in or not.

Bytes that change while length and times stay are left out: only reading every copy could detect them.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from alpenhorn.fs.placing import PRIVATE
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Archive, Result, Running, clock, wait_for
from tests.fixtures.sshd import Sshd

MINIMUM = 2
FIELD, ARCHIVES = "field", ("v1", "v2", "v3")
HOST_OF = {FIELD: "a", "v1": "a", "v2": "b", "v3": "c"}
HOSTS = ("a", "b", "c")
EDITS = ("has_file", "wants_file", "request", "cancel", "root", "host", "active")


class HeldRun:
    """A run of which a worker is stopped at one of the first system calls `calls` on names in the directory `at`, once
    that was made, until it is told to go on.

    Its clocks can be set forward, as they are when a host was suspended: all of them, including CLOCK_BOOTTIME.
    """

    def __init__(self, archive: Archive, conf: Path, at: Path, *arguments: str, calls: str) -> None:
        name = f"held-{len(list((archive.base / 'said').iterdir()))}"
        self._time = archive.base / "said" / f"{name}.time"
        self._said = archive.base / "said" / f"{name}.strace"
        self._later(0)
        environ = clock("+0")
        del environ["FAKETIME"], environ["FAKETIME_DONT_FAKE_MONOTONIC"]
        environ |= {"FAKETIME_TIMESTAMP_FILE": str(self._time), "FAKETIME_NO_CACHE": "1"}
        prefix = ["strace", "-D", "-f", "-qq", "-o", str(self._said), f"--trace-path={at}"]
        prefix += ["-e", f"trace={calls}", "-e", f"inject={calls}:signal=STOP"]
        prefix += [word for name, value in environ.items() for word in ("-E", f"{name}={value}")]
        self._running: Running = archive.start("sync", "--jobs", "1", *arguments, conf=conf, prefix=prefix)
        wait_for(
            lambda: self._stopped() or self._running.process.poll() is not None, "a worker to be stopped"
        )
        assert self._stopped(), self._running.said()
        (self._worker,) = self._stopped()
        # It stops only once.
        for tracer in self._running.programs("strace"):
            tracer.kill()
            tracer.wait()

    def _stopped(self) -> list[int]:
        said = self._said.read_text() if self._said.exists() else ""
        return [int(pid) for pid in re.findall(r"^(\d+) .*stopped by SIGSTOP", said, re.MULTILINE)]

    def _later(self, seconds: int) -> None:
        aside = self._time.with_suffix(".new")
        aside.write_text(f"+{seconds}\n")
        aside.replace(self._time)

    def go_on(self, later: int = 0, stopping: bool = False) -> None:
        """Let it go on to its end, `later` seconds after it was stopped by its clocks; with `stopping`, it was asked to
        stop in between."""
        self._later(later)
        if stopping:
            self._running.process.terminate()
        os.kill(self._worker, signal.SIGCONT)
        result = self._running.result()
        assert result.status in (0, 1, 75), result

    def kill(self) -> None:
        self._running.end()


class World:
    """Node `field` of host a takes in new files; v1, v2 and v3 of the three hosts are archive nodes that get them all.

    `counts`: how often what was done.  `stray`: (medium, path below it) to the content of files that no program has
    asked for, which must stay.  `looks`: keepers on other hosts are looked at; by chance unless given.  `trash`: hosts
    whose runs move deleted files to the trash; what is there is no copy.
    """

    def __init__(
        self,
        archive: Archive,
        server: Sshd,
        rng: random.Random,
        looks: bool | None = None,
        trash: Collection[str] = (),
    ) -> None:
        self.archive = archive
        self.server = server
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.files: dict[str, str] = {}  # MD5 sum to path
        self.stray: dict[tuple[str, str], bytes] = {}
        self.names = {key: key for key in HOST_OF}
        self.roots = {key: archive.base / key for key in HOST_OF}
        self.plugged: dict[str, str | None] = {}
        self.home: dict[str, str] = {}  # medium to the node that it is of
        # Only then may somebody remove files from disks: that they are gone from another host's cannot be known else.
        self.looks = rng.random() < 0.5 if looks is None else looks
        self.trash = set(trash)
        self.backup: dict[str, list[tuple[object, ...]]] | None = None
        self.shelf = archive.base / "shelf"
        self.shelf.mkdir()
        for host in HOSTS:
            archive.host(host, address=server.address, username=server.username)
            self._configure(host, host)
        for key, host in HOST_OF.items():
            archive.node(
                key,
                host=host,
                archive=int(key != FIELD),
                auto_import=int(key == FIELD),
                auto_verify=0 if key == FIELD else 5,
            )
            self._new_medium(key)
        for key in ARCHIVES:
            archive.insert(
                "storagetransferaction",
                node_from_id=archive.id("storagenode", FIELD),
                group_to_id=archive.id("storagegroup", key),
                autosync=1,
                autoclean=0,
            )

    def _configure(self, host: str, name: str, **transfer: Any) -> Path:
        sync = {
            "host": host,
            "archive_copy_count": MINIMUM,
            "import_settle": 0,
            "auto_verify_min_days": 0,
            "delete_limit": 1_000_000,
            "delete_evidence": "stat" if self.looks else "index",
            "trash": "14d" if host in self.trash else 0,
        }
        return self.archive.configure(name, sync=sync, transfer={"ssh": list(self.server.ssh)} | transfer)

    # --- what is where ---------------------------------------------------------------------------------

    def at(self, medium: str) -> Path:
        """Return the current directory of a medium."""
        key = next((key for key, here in self.plugged.items() if here == medium), None)
        return self.shelf / medium if key is None else self.roots[key]

    def copies(self) -> dict[str, int]:
        """Return the number of physical copies of each file, by MD5 sum."""
        found: dict[str, set[tuple[int, int]]] = {md5sum: set() for md5sum in self.files}
        for medium in self.home:
            root = self.at(medium)
            for path in root.rglob("*"):
                if PRIVATE in path.parts or path.is_symlink() or not path.is_file():
                    continue
                md5sum = hashlib.md5(path.read_bytes()).hexdigest()
                if md5sum in found:
                    status = path.stat()
                    found[md5sum].add((status.st_dev, status.st_ino))
        return {md5sum: len(inodes) for md5sum, inodes in found.items()}

    def lacking(self, before: dict[str, int]) -> list[str]:
        """Return the files with fewer copies than alpenhorn may leave."""
        now = self.copies()
        lost = [
            f"{self.files[md5sum]}: {count} copies before, {now[md5sum]} now"
            for md5sum, count in before.items()
            if now[md5sum] < min(MINIMUM, count)
        ]
        for (medium, path), content in self.stray.items():
            at = self.at(medium) / path
            if not at.is_file() or at.read_bytes() != content:
                lost.append(f"{path} on {medium}, which nobody had asked for, is gone or changed")
        return lost

    def wrong_rows(self) -> list[str]:
        """Return the rows of good copies that are missing or different on their disks."""
        found = []
        rows = self.archive.all(
            "SELECT n.root, a.name, f.name, f.md5sum FROM archivefilecopy c"
            " JOIN storagenode n ON n.id = c.node_id JOIN archivefile f ON f.id = c.file_id"
            " JOIN archiveacq a ON a.id = f.acq_id WHERE c.has_file = 'Y'"
        )
        for root, acq, name, md5sum in rows:
            path = Path(root, acq, name)
            if not path.is_file() or hashlib.md5(path.read_bytes()).hexdigest() != md5sum:
                found.append(str(path.relative_to(self.archive.base)))
        return found

    def given_up(self) -> list[str]:
        """Return the copies that the index has given up though they are right on their disks."""
        found = []
        rows = self.archive.all(
            "SELECT n.root, a.name, f.name, f.md5sum FROM archivefilecopy c"
            " JOIN storagenode n ON n.id = c.node_id JOIN archivefile f ON f.id = c.file_id"
            " JOIN archiveacq a ON a.id = f.acq_id WHERE c.has_file IN ('N', 'X')"
        )
        for root, acq, name, md5sum in rows:
            path = Path(root, acq, name)
            if path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == md5sum:
                found.append(f"{path.relative_to(self.archive.base)} is given up")
        return found

    def files_on(self, key: str) -> list[Path]:
        root = self.roots[key]
        return sorted(
            path
            for path in root.rglob("*")
            if path.is_file()
            and PRIVATE not in path.parts
            and not path.name.startswith(".")
            and path.name != MARKER
            and (self.plugged[key], str(path.relative_to(root))) not in self.stray
        )

    # --- what people and machines do -------------------------------------------------------------------

    def _medium_name(self, key: str) -> str:
        self.counts["media"] += 1
        return f"{key}-{self.counts['media']}"

    def _new_medium(self, key: str) -> None:
        medium = self._medium_name(key)
        self.home[medium] = key
        self.plugged[key] = medium
        self.roots[key].mkdir(exist_ok=True)
        (self.roots[key] / MARKER).write_text(f"{self.names[key]}\n")

    def newest(self) -> int:
        """Return the highest file id."""
        return int(self.archive.one("SELECT MAX(id) FROM archivefile"))

    def new_files(self, number: int, directory: str = "") -> None:
        """Write new files, below a directory of their acquisitions if one is given."""
        if self.plugged[FIELD] is None:
            return
        for _ in range(number):
            path = f"day{len(self.files) % 3}/{directory}{len(self.files):04}.dat"
            content = self.rng.randbytes(self.rng.choice((8, 100, 5000)))
            at = self.roots[FIELD] / path
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
            # As after the minute for which a run waits: a file written in the second in which it is registered could
            # have been written after that.
            os.utime(at, (time.time() - 60,) * 2)
            self.files[hashlib.md5(content).hexdigest()] = path

    def unplug(self, key: str) -> None:
        """Unplug a medium, which leaves an empty mount point."""
        if (medium := self.plugged[key]) is None:
            return
        self.roots[key].rename(self.shelf / medium)
        self.plugged[key] = None
        self.roots[key].mkdir()

    def plug(self, key: str, medium: str | None = None) -> None:
        """Plug in any medium of the node that is on the shelf."""
        shelved = sorted(
            name for name, of in self.home.items() if of == key and name not in self.plugged.values()
        )
        if medium is None and shelved:
            medium = self.rng.choice(shelved)
        if medium is None or medium not in shelved:
            return
        self.unplug(key)
        assert not any(self.roots[key].iterdir()), "something was made where no disk was"
        self.roots[key].rmdir()
        (self.shelf / medium).rename(self.roots[key])
        self.plugged[key] = medium

    def exchange(self, key: str) -> None:
        """Replace a disk by a new, empty one, and initialise it."""
        self.unplug(key)
        self._new_medium(key)

    def snapshot(self, key: str) -> None:
        """Clone or back up a disk."""
        if self.plugged[key] is None:
            return
        medium = self._medium_name(key)
        shutil.copytree(self.roots[key], self.shelf / medium, symlinks=True)
        self.stray |= {
            (medium, path): content for (of, path), content in self.stray.items() if of == self.plugged[key]
        }
        self.home[medium] = key

    def destroy(self, key: str) -> None:
        """Destroy a disk on the shelf."""
        shelved = sorted(
            name for name, of in self.home.items() if of == key and name not in self.plugged.values()
        )
        if shelved:
            medium = self.rng.choice(shelved)
            shutil.rmtree(self.shelf / medium)
            del self.home[medium]
            self.stray = {at: content for at, content in self.stray.items() if at[0] != medium}

    def clone(self, key: str, other: str) -> str:
        """Copy a disk, mark the copy as that of another node, and return its name; it is on the shelf."""
        self.snapshot(key)
        medium = list(self.home)[-1]
        (self.shelf / medium / MARKER).write_text(f"{self.names[other]}\n")
        self.home[medium] = other
        return medium

    def renew(self, key: str) -> Callable[[], None]:
        """Enter a new, empty disk at another place in the index; the old one stays where it is until what is returned
        is called, which destroys it."""
        old, medium = self.roots[key], self.plugged[key]
        assert medium is not None
        self.roots[key] = self.archive.base / f"{key}-at-{self.counts['moved']}"
        self.counts["moved"] += 1
        self._new_medium(key)
        self.archive.do(
            "UPDATE storagenode SET root = ? WHERE name = ?", str(self.roots[key]), self.names[key]
        )

        def destroy() -> None:
            shutil.rmtree(old)
            del self.home[medium]

        return destroy

    def lose(self, key: str) -> None:
        """Remove files by hand."""
        if not self.looks:
            return
        for path in self.rng.sample(files := self.files_on(key), min(2, len(files))):
            path.unlink()

    def find(self, key: str) -> None:
        """Put a stray file at a path where a file of the archive may arrive."""
        if self.plugged[key] is None or key == FIELD or not self.files:
            return
        self.put_stray(key, self.rng.choice((*self.files.values(), f"somebody/{len(self.stray)}")))

    def put_stray(self, key: str, path: str) -> None:
        at = self.roots[key] / path
        if at.exists():
            return
        content = b"somebody's " + self.rng.randbytes(8)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        self.stray[self.plugged[key], path] = content

    def change(self, key: str, path: str) -> None:
        """Write a file of the archive as its owner does; from then on, the disk must keep it."""
        content = b"its owner's " + self.rng.randbytes(8)
        (self.roots[key] / path).write_bytes(content)
        self.stray[self.plugged[key], path] = content

    def hard_link(self, key: str, other: str) -> None:
        """Fill a disk from another one with `cp -al`, and scan it."""
        if None in (self.plugged[key], self.plugged[other]) or FIELD in (key, other):
            return
        for path in self.files_on(key):
            at = self.roots[other] / path.relative_to(self.roots[key])
            at.parent.mkdir(parents=True, exist_ok=True)
            if not at.exists():
                os.link(path, at)
        self.command("node", "scan", self.names[other], host=HOST_OF[other])

    def release(self, key: str) -> None:
        """Release copies, as an administrator or the daemon would."""
        node_id = self.archive.id("storagenode", self.names[key])
        ids = [
            row[0]
            for row in self.archive.all(
                "SELECT id FROM archivefilecopy WHERE node_id = ? AND wants_file = 'Y'", node_id
            )
        ]
        for copy_id in self.rng.sample(ids, len(ids) // 2):
            self.archive.do("UPDATE archivefilecopy SET wants_file = 'N' WHERE id = ?", copy_id)

    def undelete(self, key: str) -> None:
        """Ask for all that is in the trash of a node."""
        self.counts["undeletions"] += self.archive.one("SELECT COUNT(*) FROM sync_trash")
        self.command("node", "undelete", self.names[key], "--force")

    def switch_trash(self, host: str) -> None:
        """Let the runs of a host keep deleted files, or no longer."""
        self.trash ^= {host}
        self._configure(host, host)

    def release_all(self, key: str, file_ids: tuple[int, int] = (0, 2**31)) -> None:
        """Release all copies on a node, of files from one id to another."""
        self.archive.do(
            "UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ? AND file_id BETWEEN ? AND ?",
            self.archive.id("storagenode", self.names[key]),
            *file_ids,
        )

    def rename(self, key: str) -> None:
        name = f"{key}x{self.counts['renamed']}"
        self.counts["renamed"] += 1
        self.command("node", "rename", self.names[key], name)
        self.names[key] = name

    def move_root(self, key: str) -> None:
        """Mount the disk elsewhere from now on."""
        root = self.archive.base / f"{key}-at-{self.counts['moved']}"
        self.counts["moved"] += 1
        self.roots[key].rename(root)
        self.roots[key] = root
        self.command("node", "modify", self.names[key], "--root", str(root))

    def switch_archive(self, key: str) -> None:
        """Make a node a plain node for a while, onto which hard links can be created."""
        off = self.archive.one("SELECT archive FROM storagenode WHERE name = ?", self.names[key])
        self.command("node", "modify", self.names[key], "--no-archive" if off else "--archive")

    def register_twice(self) -> None:
        """Register the files below directories of acquisitions a second time, as a program does that takes the first
        two directories for the acquisition; with copies wherever the first ones have some."""
        rows = self.archive.all(
            "SELECT f.id, a.name, f.name, f.size_b, f.md5sum, f.registered FROM archivefile f"
            " JOIN archiveacq a ON a.id = f.acq_id WHERE f.name LIKE '%/%'"
        )
        for file_id, acq, name, size_b, md5sum, registered in rows:
            directory, _, rest = name.partition("/")
            found = self.archive.all("SELECT id FROM archiveacq WHERE name = ?", f"{acq}/{directory}")
            acq_id = found[0][0] if found else self.archive.insert("archiveacq", name=f"{acq}/{directory}")
            twin = self.archive.insert(
                "archivefile", acq_id=acq_id, name=rest, size_b=size_b, md5sum=md5sum, registered=registered
            )
            self.archive.do(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
                " SELECT ?, node_id, has_file, wants_file, ready, size_b, last_update FROM archivefilecopy"
                " WHERE file_id = ?",
                twin,
                file_id,
            )

    # --- what the daemon does, its command line, or somebody with a client of the database -----------------

    def _sample(self, sql: str, *values: object) -> list[int]:
        ids = [row[0] for row in self.archive.all(sql, *values)]
        return self.rng.sample(ids, min(len(ids), self.rng.randint(1, 4)))

    def edit(self, what: str) -> None:
        """Edit some rows: a word of EDITS.

        Somebody who enters that a copy is gone or corrupt gives up that copy, not the file's others.
        """
        do, node = self.archive.do, self.archive.id("storagenode", self.names[self.rng.choice(list(HOST_OF))])
        if what == "has_file":
            for copy_id in self._sample("SELECT id FROM archivefilecopy WHERE node_id = ?", node):
                do("UPDATE archivefilecopy SET has_file = ? WHERE id = ?", self.rng.choice("NXM"), copy_id)
        elif what == "wants_file":
            for copy_id in self._sample("SELECT id FROM archivefilecopy WHERE node_id = ?", node):
                do("UPDATE archivefilecopy SET wants_file = ? WHERE id = ?", self.rng.choice("YMN"), copy_id)
        elif what == "request":
            group = self.archive.id("storagegroup", self.rng.choice(list(HOST_OF)))
            self.archive.requests(self._sample("SELECT id FROM archivefile"), *self._names(node, group))
        elif what == "cancel":
            for request_id in self._sample(
                "SELECT id FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0"
            ):
                do("UPDATE archivefilecopyrequest SET cancelled = 1 WHERE id = ?", request_id)
        elif what == "root":
            nowhere = self.archive.base / "nowhere"
            nowhere.mkdir(exist_ok=True)
            roots = (*self.roots.values(), nowhere, self.archive.base / "no such directory")
            do("UPDATE storagenode SET root = ? WHERE id = ?", str(self.rng.choice(roots)), node)
        elif what == "host":
            host = self.archive.id("storagehost", self.rng.choice(HOSTS))
            do("UPDATE storagenode SET host_id = ? WHERE id = ?", host, node)
        else:
            do("UPDATE storagenode SET active = 1 - active WHERE id = ?", node)

    def _names(self, node_id: int, group_id: int) -> tuple[str, str]:
        return (
            self.archive.one("SELECT name FROM storagenode WHERE id = ?", node_id),
            self.archive.one("SELECT name FROM storagegroup WHERE id = ?", group_id),
        )

    def mend(self) -> None:
        """Set the nodes' roots, hosts and activity right."""
        for key, host in HOST_OF.items():
            self.archive.do(
                "UPDATE storagenode SET root = ?, host_id = ?, active = 1 WHERE name = ?",
                str(self.roots[key]),
                self.archive.id("storagehost", host),
                self.names[key],
            )

    def back_up_index(self) -> None:
        self.backup = self.archive.dump()

    def restore_index(self) -> None:
        if self.backup is None:
            return
        names = {row[1] for row in self.backup["storagenode"]}
        if names != set(self.names.values()):
            return  # it would name other nodes than the markers do, which is another story
        roots = {
            key: row[2] for row in self.backup["storagenode"] for key in HOST_OF if self.names[key] == row[1]
        }
        if roots != {key: str(root) for key, root in self.roots.items()}:
            return
        for table, rows in self.backup.items():
            self.archive.do(f"DELETE FROM {table}")
            for row in rows:
                self.archive.do(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)
        self.counts["restored"] += 1

    # --- runs ------------------------------------------------------------------------------------------

    def command(self, *arguments: str, host: str = "a", offset: str = "") -> Result:
        result = self.archive.run(*arguments, host=host, environ=clock(offset))
        assert result.status in (0, 1, 75), result
        return result

    def sync(self, host: str, offset: str = "", *arguments: str) -> Result:
        self.counts["runs"] += 1
        self.archive.forget_attempts()
        return self.command("sync", *arguments, host=host, offset=offset)

    def killed(self, host: str, seconds: float, number: signal.Signals) -> None:
        """Kill a run, or suspend it while the other hosts run, at a random moment."""
        self.counts["runs"] += 1
        self.archive.forget_attempts()
        running = self.archive.start("sync", host=host)
        try:
            running.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.counts[number.name] += 1
            if number is signal.SIGKILL:
                running.kill()
                running.wait_until_nothing_is_left()
            else:
                stopped = running.processes()
                for process in stopped:
                    process.suspend()
                for other in HOSTS:
                    if other != host:
                        self.sync(other)
                for process in stopped:
                    process.resume()
        if number is signal.SIGKILL:
            running.end()
        else:
            assert running.result().status in (0, 1, 75)

    def edited(self, host: str, seconds: float, what: list[str]) -> None:
        """Edit rows while a run is going on: the first after so many seconds, the others as far apart."""
        self.counts["runs"] += 1
        self.archive.forget_attempts()
        running = self.archive.start("sync", host=host)
        for one in what:
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(seconds)
            self.counts["edits"] += 1
            self.edit(one)
        assert running.result().status in (0, 1, 75)

    def held(self, host: str, at: Path, *arguments: str, calls: str) -> HeldRun:
        """Start a run that stops as HeldRun says; its jobs have no deadlines."""
        self.counts["runs"] += 1
        self.archive.forget_attempts()
        conf = self._configure(host, f"{host}-held", pull_bytes_per_second=0)
        return HeldRun(self.archive, conf, at, *arguments, calls=calls)

    def deletions(self) -> int:
        return int(self.archive.one("SELECT COUNT(*) FROM sync_event WHERE what = 'deleted'"))

    def set_right(self) -> None:
        """Plug in everything, reconcile, and run, as an administrator does in the end."""
        self.mend()
        for key in HOST_OF:
            if self.plugged[key] is None:
                self.plug(key)
            if self.plugged[key] is None:
                self._new_medium(key)
        for key in ARCHIVES:
            self.command("node", "modify", self.names[key], "--archive")
        for _ in range(2):
            for host in HOSTS:
                self.command("reconcile", "--read", "--accept-loss", host=host)
                self.sync(host, "", "--accept-loss")
        for _ in range(3):
            for host in HOSTS:
                self.sync(host, "", "--accept-loss")
