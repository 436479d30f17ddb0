"""An adversary works against an archive: alpenhorn must not leave a file with fewer copies than the minimum, or than
it had, and must not remove stray files.

Its steps are actions of people and machines (see `adversary.py`).  To run it longer:

    bin/test -m adversary --minutes 60
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from alpenhorn.fs.run_lock import RUN_LOCK
from tests.faults.adversary import ARCHIVES, EDITS, FIELD, HOST_OF, HOSTS, World
from tests.fixtures.archive import Archive
from tests.fixtures.sshd import Sshd

STEPS = 30  # of one game
NODES = st.sampled_from(sorted(HOST_OF))
VAULTS = st.sampled_from(ARCHIVES)
HOST = st.sampled_from(HOSTS)
# Of ten and more, Hypothesis would let the first ones end in repetitions of one step.
GAMES = settings(
    max_examples=9,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
OFFSETS = st.sampled_from(("", "", "", "+2d", "-3h", "+10y"))


def machine(
    url: Callable[[Path], str], server: Sshd, counts: Counter[str], ends: float
) -> type[RuleBasedStateMachine]:
    """Return the state machine for one index; after `ends` on the monotonic clock nothing new is started."""

    class Adversary(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            if time.monotonic() > ends:
                raise TimeIsUp
            self.directory = tempfile.TemporaryDirectory(prefix="adversary")
            self.archive = Archive(Path(self.directory.name), url(Path(self.directory.name)))
            self.before: dict[str, int] | None = None

        @initialize(number=st.integers(0, 2**32))
        def begin(self, number: int) -> None:
            # Hypothesis begins with the smallest game, which is the first step again and again.
            assume(number)
            trash = [host for place, host in enumerate(HOSTS) if number >> place & 1]
            self.world = World(self.archive, server, random.Random(number), trash=trash)
            self.world.new_files(5)
            for host in (*HOSTS, *HOSTS):
                self.world.sync(host)

        def teardown(self) -> None:
            try:
                if hasattr(self, "world") and self.before is None:
                    self.judged(self.world.set_right)
                    # So that there are deletions in each game, be it the only one that a busy machine has time for.
                    self.release_all()
                    assert self.world.wrong_rows() == []
            finally:
                if hasattr(self, "world"):
                    counts["games"] += 1
                    counts.update(self.world.counts)
                    counts["deletions"] += self.world.deletions()
                self.archive.close()
                self.directory.cleanup()

        def judged(self, act: Callable[[], object]) -> None:
            """Run a step of alpenhorn, which is responsible for its effects."""
            self.before = self.world.copies()
            act()
            lost = self.world.lacking(self.before)
            assert lost == [], lost
            self.before = None

        def release_all(self) -> None:
            for key in HOST_OF:
                self.world.release(key)
            for host in HOSTS:
                self.judged(lambda host=host: self.world.sync(host))

        def done(self, what: str) -> bool:
            """Count a step, unless the time is up."""
            if time.monotonic() > ends:
                return False
            counts["steps"] += 1
            counts[what] += 1
            return True

        @rule(host=HOST, offset=OFFSETS)
        def run(self, host: str, offset: str) -> None:
            if self.done("sync"):
                self.judged(lambda: self.world.sync(host, offset))

        @rule(offset=OFFSETS)
        def run_all(self, offset: str) -> None:
            if self.done("all sync"):
                for host in HOSTS:
                    self.judged(lambda host=host: self.world.sync(host, offset))

        @rule(
            host=HOST, seconds=st.floats(0.05, 1.5), number=st.sampled_from((signal.SIGKILL, signal.SIGSTOP))
        )
        def run_and_kill(self, host: str, seconds: float, number: signal.Signals) -> None:
            if self.done("kill"):
                self.judged(lambda: self.world.killed(host, seconds, number))

        @rule(host=HOST)
        def reconcile(self, host: str) -> None:
            if self.done("reconcile"):
                self.judged(lambda: self.world.command("reconcile", host=host))

        @rule(key=NODES)
        def release(self, key: str) -> None:
            if self.done("release"):
                self.world.release(key)

        @rule(host=HOST, offset=OFFSETS)
        def release_everywhere(self, host: str, offset: str) -> None:
            if self.done("release all"):
                for key in HOST_OF:
                    self.world.release(key)
                self.judged(lambda: self.world.sync(host, offset))

        @rule(number=st.integers(1, 4))
        def arrive(self, number: int) -> None:
            if self.done("arrive"):
                self.world.new_files(number)

        @rule(what=st.sampled_from(EDITS))
        def edit(self, what: str) -> None:
            if self.done("edit"):
                self.world.edit(what)

        @rule(
            host=HOST,
            seconds=st.floats(0.05, 0.7),
            what=st.lists(st.sampled_from(EDITS), min_size=1, max_size=4),
        )
        def run_and_edit(self, host: str, seconds: float, what: list[str]) -> None:
            if self.done("edit during sync"):
                self.judged(lambda: self.world.edited(host, seconds, what))

        @rule(host=HOST, offset=OFFSETS)
        def mend_and_run(self, host: str, offset: str) -> None:
            if self.done("mend"):
                self.world.mend()
                self.judged(lambda: self.world.sync(host, offset))

        @rule(key=NODES)
        def unplug(self, key: str) -> None:
            if self.done("unplug"):
                self.world.unplug(key)

        @rule(key=NODES)
        def plug(self, key: str) -> None:
            if self.done("plug"):
                self.world.plug(key)

        @rule(key=VAULTS)
        def exchange(self, key: str) -> None:
            if self.done("exchange"):
                self.world.exchange(key)

        @rule(key=NODES)
        def snapshot(self, key: str) -> None:
            if self.done("snapshot"):
                self.world.snapshot(key)

        @rule(key=NODES)
        def destroy(self, key: str) -> None:
            if self.done("destroy"):
                self.world.destroy(key)

        @rule(restore=st.booleans())
        def index(self, restore: bool) -> None:
            if restore and self.done("restore"):
                self.world.restore_index()
            elif not restore and self.done("back up"):
                self.world.back_up_index()

        @rule(key=NODES, everything=st.booleans())
        def release_and_run(self, key: str, everything: bool) -> None:
            if self.done("release and run"):
                (self.world.release_all if everything else self.world.release)(key)
                for host in HOSTS:
                    self.judged(lambda host=host: self.world.sync(host))

        @rule(keys=st.lists(NODES, min_size=1, max_size=4, unique=True), seconds=st.floats(0.1, 1.5))
        def release_and_kill(self, keys: list[str], seconds: float) -> None:
            if self.done("release and kill"):
                for key in keys:
                    self.world.release_all(key)
                for host in HOSTS:
                    self.judged(lambda host=host: self.world.killed(host, seconds, signal.SIGKILL))

        @rule(key=NODES)
        def undelete(self, key: str) -> None:
            if self.done("undelete"):
                self.judged(lambda: self.world.undelete(key))

        @rule(host=HOST)
        def switch_trash(self, host: str) -> None:
            if self.done("switch trash"):
                self.world.switch_trash(host)

        @rule(key=NODES)
        def lose(self, key: str) -> None:
            if self.done("lose"):
                self.world.lose(key)

        @rule(key=VAULTS)
        def find(self, key: str) -> None:
            if self.done("find"):
                self.world.find(key)

        @rule(key=VAULTS, other=VAULTS)
        def hard_link(self, key: str, other: str) -> None:
            if key != other and self.done("hard link"):
                self.judged(lambda: self.world.hard_link(key, other))

        @rule(key=NODES)
        def rename(self, key: str) -> None:
            if self.done("rename"):
                self.world.rename(key)

        @rule(key=NODES)
        def move_root(self, key: str) -> None:
            if self.done("move root"):
                self.world.move_root(key)

        @rule(key=VAULTS)
        def switch_archive(self, key: str) -> None:
            if self.done("switch archive"):
                self.world.switch_archive(key)

    return Adversary


class TimeIsUp(KeyboardInterrupt):
    """Ends a test of Hypothesis at once without a failure."""


def play(url: Callable[[Path], str], server: Sshd, seconds: float, number: int) -> Counter[str]:
    """Play games until the time is up; `number` is the seed."""
    counts: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    with suppress(TimeIsUp):
        for one in itertools.count(number * 1_000_000):
            run_state_machine_as_test(seed(one)(machine(url, server, counts, ends)), settings=GAMES)
    return counts


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "new_index" in metafunc.fixturenames:
        # A game on a cluster takes too long for a part of two thirds of a minute.
        enough = metafunc.config.getoption("--long") or metafunc.config.getoption("--minutes")
        engines = ["sqlite", "mariadb", *(["galera"] if enough else [])]
        metafunc.parametrize("new_index", engines, indirect=True)


@pytest.fixture
def new_index(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Create an empty index for a game in its own directory, and return its URL."""
    if request.param == "sqlite":
        return lambda directory: f"sqlite:///{directory / 'index.db'}"
    fixture = "mariadb_databases" if request.param == "mariadb" else "galera_databases"
    new_database = request.getfixturevalue(fixture)
    return lambda directory: str(new_database(directory.name.replace("-", "_")))


@pytest.mark.adversary
@pytest.mark.timeout(0)
def test_the_adversary_finds_nothing(
    new_index: Callable[[Path], str],
    sshd: Sshd,
    long: bool,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    minutes = request.config.getoption("--minutes") or (3 if long else 2 / 3)
    seconds = minutes * 60 / 2  # SQLite and MariaDB share the time
    counts = play(new_index, sshd, seconds, request.config.getoption("--games"))
    record_property("figures", ", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert counts["games"] and counts["runs"] and counts["deletions"]


@pytest.mark.adversary
@pytest.mark.timeout(0)
def test_edits_of_rows_during_runs_lose_nothing(
    tmp_path: Path, sqlite_index_url: str, sshd: Sshd, long: bool, request: pytest.FixtureRequest
) -> None:
    """As the daemon makes them, its command line, or somebody by plain SQL; each kind in each round."""
    rng = random.Random(request.config.getoption("--games"))
    archive = Archive(tmp_path, sqlite_index_url)
    try:
        world = World(archive, sshd, rng, looks=False)
        for _ in range(20 if long else 3):
            world.mend()
            world.new_files(4)
            for host in HOSTS:
                world.sync(host)
            for key in rng.sample(list(HOST_OF), 2):
                world.release(key)
            what = rng.sample(EDITS, len(EDITS))
            for host, some in zip(HOSTS, (what[:2], what[2:4], what[4:]), strict=True):
                before = world.copies()
                world.edited(host, rng.uniform(0.1, 0.5), list(some))
                assert world.lacking(before) == [], (host, some)
        before = world.copies()
        world.set_right()
        assert world.lacking(before) == [] and world.wrong_rows() == []
        assert world.counts["edits"] and world.deletions()
    finally:
        archive.close()


# --- mutants: what an adversary does that a program without one of the protections does not withstand --------------

Act = Callable[[], object]  # what alpenhorn then does, and is judged by; unless it is three runs on host a


def disks_that_died(world: World) -> None:
    """Both disks of other hosts die, their hosts notice, and the copies on field are released."""
    for key in ("v2", "v3"):
        world.unplug(key)
        world.destroy(key)
        world.sync(HOST_OF[key])
    world.release_all(FIELD)


def disks_retired(world: World) -> None:
    """Both disks of other hosts are retired and thrown away before their files are elsewhere, and the copies on field
    are released."""
    for key in ("v2", "v3"):
        done = world.archive.run("node", "retire", key, "--into", "v1", "--force", host="a")
        assert done.status == 0, done
        world.unplug(key)
        world.destroy(key)
    world.release_all(FIELD)


def disks_before_tape(world: World) -> None:
    """Both disks of other hosts are those in front of tape libraries, and die before anything was put on tape."""
    for key in ("v2", "v3"):
        node_id = world.archive.id("storagenode", key)
        world.archive.do("UPDATE storagenode SET io_class = 'Library' WHERE id = ?", node_id)
        recorded = "UPDATE sync_node SET tape_class = 'Library', needs_tape = 1 WHERE node_id = ?"
        world.archive.do(recorded, node_id)
        world.unplug(key)
        world.destroy(key)
    world.release_all(FIELD)


def disks_exchanged(world: World) -> None:
    """Both disks of other hosts are exchanged for empty ones, which no run has read yet."""
    for key in ("v2", "v3"):
        world.exchange(key)
        world.destroy(key)
        world.sync(HOST_OF[key], "", "--only", "pull")
    world.release_all(FIELD)


def disks_rolled_back(world: World) -> None:
    """Both disks of other hosts are replaced by backups of them from before some files came."""
    for key in ("v2", "v3"):
        world.snapshot(key)
    world.new_files(4)
    for host in (*HOSTS, *HOSTS):
        world.sync(host)
    for key in ("v2", "v3"):
        world.plug(key)
        world.destroy(key)
        world.sync(HOST_OF[key], "", "--only", "pull")
    world.release_all(FIELD)


def index_restored(world: World) -> None:
    """The index is restored to a backup made before a copy on another host was deleted and host a ran."""
    world.back_up_index()
    world.release_all("v3")
    for host in ("c", "a"):
        world.sync(host)
    world.restore_index()
    world.release_all(FIELD)
    world.release_all("v2")
    world.sync("b")


def disk_linked(world: World) -> None:
    """A new disk was filled from another one with hard links."""
    world.exchange("v3")
    world.destroy("v3")
    world.hard_link("v2", "v3")
    world.sync("c", "", "--only", "import", "--only", "check")
    world.release_all(FIELD)
    world.release_all("v1")


def file_found(world: World) -> None:
    """A stray file is at the path where a file of the archive will arrive."""
    world.new_files(1)
    path = list(world.files.values())[-1]
    world.put_stray("v1", path)


def clone_plugged_in(world: World) -> None:
    """The disk of another host dies, and a clone of another node's, from before some files came, takes its place."""
    medium = world.clone("v1", "v2")
    world.new_files(4)
    for host in (*HOSTS, *HOSTS):
        world.sync(host)
    world.unplug("v2")
    world.plug("v2", medium)
    world.destroy("v2")
    world.sync("b", "", "--only", "pull")
    world.release_all(FIELD)
    world.release_all("v1")


def claims_taken_over(world: World) -> Act:
    """A run stands still in the middle of its deletions; somebody tidies up, so that another run can take the node
    over, which deletes a file and is killed before it can record that; and the first run, asked to stop, goes on."""
    world.release_all(FIELD)
    world.sync("a")
    world.release_all("v1")
    directory = world.roots["v1"] / "day0"
    first = world.held("a", directory, "--only", "delete", calls="newfstatat")
    (world.roots["v1"] / RUN_LOCK).unlink()
    second = world.held("a", directory, "--only", "delete", calls="unlinkat")
    second.kill()
    first.go_on(1200, stopping=True)
    world.sync("a", "", "--only", "pull")  # removes the claims of the second run
    world.release_all("v2")
    return lambda: world.sync("b")


def claims_grown_old(world: World) -> Act:
    """A host is suspended in the middle of deletions; both disks of other hosts die meanwhile, and they notice."""
    world.release_all(FIELD)
    run = world.held("a", world.roots[FIELD] / "day0", "--only", "delete", calls="newfstatat")
    for key in ("v2", "v3"):
        world.unplug(key)
        world.destroy(key)
        world.sync(HOST_OF[key])
    return lambda: run.go_on(1200)


def node_moved_during_pull(world: World) -> Act:
    """A disk is replaced by an empty one at another place while files are pulled onto it, and destroyed later.  The
    files on field are removed, and the copies on another host released, before host a runs again."""
    known = world.newest()
    world.new_files(3)
    world.sync("a", "", "--only", "import")
    for host in ("b", "c"):
        world.sync(host)
    calls = "newfstatat,openat,linkat,renameat,renameat2"
    run = world.held("a", world.roots["v1"] / "day1", "--only", "pull", calls=calls)
    destroy = world.renew("v1")
    run.go_on()
    destroy()
    for path in world.files_on(FIELD):
        path.unlink()
    world.release_all("v2", (known + 1, world.newest()))
    return lambda: world.sync("b")


def disk_unplugged(world: World) -> Act:
    """A disk is unplugged, its mount point stays, and two runs are made before it is plugged in again."""
    medium = world.plugged["v1"]
    world.unplug("v1")
    for _ in range(2):
        world.sync("a", "", "--only", "check")
    shutil.rmtree(world.roots["v1"])
    world.roots["v1"].mkdir()
    world.plug("v1", medium)
    return lambda: None


def disk_half_mounted(world: World) -> Act:
    """A file system with two directories of a node is not mounted while all of its copies are read."""
    world.new_files(140)
    for host in ("a", "a"):
        world.sync(host)
    world.archive.do("UPDATE storagenode SET auto_verify = 1000 WHERE name = 'v1'")
    for directory in ("day0", "day1"):
        (world.roots["v1"] / directory).rename(world.archive.base / directory)
    for _ in range(3):  # no run may give in, however often it finds them missing
        world.sync("a", "", "--only", "check")
    for directory in ("day0", "day1"):
        (world.archive.base / directory).rename(world.roots["v1"] / directory)
    return lambda: None


def files_registered_twice(world: World) -> Act:
    """Another program has registered some files a second time, and somebody releases their second copies on a node,
    and the first ones on another."""
    world.new_files(6, "log/")
    for host in (*HOSTS, *HOSTS):
        world.sync(host)
    world.release_all(FIELD)
    world.sync("a")
    known = world.newest()
    world.register_twice()
    world.release_all("v1", (known + 1, world.newest()))
    world.sync("a", "", "--only", "delete")
    world.release_all("v2", (1, known))
    return lambda: world.sync("b")


def file_changed(world: World) -> Act:
    """The owner of a file writes it where it is archived, has the copy checked, and asks for all bad ones' repair."""
    path = list(world.files.values())[-1]
    world.change("v1", path)

    def act() -> None:
        for arguments in (("file", "verify", path, "v1"), ("repair", "--force")):
            world.archive.run(*arguments, host="a")
            world.sync("a")

    return act


def site_burned_down(world: World) -> Act:
    """Two of three archive nodes are at one site, which burns down after the third one's copies were released."""
    for host in ("a", "b"):
        world.archive.insert("sync_host", host_id=world.archive.id("storagehost", host), site="town")
    world.archive.insert("sync_policy", name="spread", copies=2, sites=2, min_age=0, priority=0)
    world.release_all(FIELD)
    world.release_all("v3")

    def act() -> None:
        for host in ("c", "a"):
            world.sync(host)
        for key in ("v1", "v2"):
            world.unplug(key)
            world.destroy(key)

    return act


def trash_with_a_link(world: World) -> Act:
    """Somebody put a link to one of the last two disks into the trash, which is no longer kept."""
    world.switch_trash("a")
    world.release_all(FIELD)
    world.sync("a")
    trash = world.roots[FIELD] / ".alpenhorn/trash"
    (batch,) = trash.iterdir()
    (batch / "link").symlink_to(world.roots["v1"])
    world.unplug("v3")
    world.destroy("v3")
    world.switch_trash("a")
    return lambda: world.sync("a")


@pytest.mark.adversary
@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "prepare"),
    [
        ("unseen", disks_that_died),
        ("exchanged", disks_exchanged),
        ("rolled_back", disks_rolled_back),
        ("restored", index_restored),
        ("linked", disk_linked),
        ("retired", disks_retired),
        ("untaped", disks_before_tape),
        ("found", file_found),
        ("cloned", clone_plugged_in),
        ("unfenced", claims_taken_over),
        ("aged", claims_grown_old),
        ("displaced", node_moved_during_pull),
        ("absent", disk_unplugged),
        ("half_mounted", disk_half_mounted),
        ("shared_path", files_registered_twice),
        ("rotten", file_changed),
        ("one_site", site_burned_down),
        ("followed", trash_with_a_link),
    ],
)
def test_a_program_without_a_protection_is_caught(
    tmp_path: Path,
    sqlite_index_url: str,
    sshd: Sshd,
    name: str,
    prepare: Callable[[World], Act | None],
    long: bool,
) -> None:
    """With --long, the program with all protections must also pass, which test_the_adversary_finds_nothing shows."""
    assert _lost(tmp_path / "mutant", sqlite_index_url, sshd, prepare, name)
    if long:
        url = f"sqlite:///{tmp_path / 'right.db'}"
        assert not _lost(tmp_path / "right", url, sshd, prepare, None)


def _lost(
    base: Path, url: str, sshd: Sshd, prepare: Callable[[World], Act | None], mutant: str | None
) -> list[str]:
    """Return what the program, or a mutant, loses."""
    base.mkdir()
    archive = Archive(base, url)
    try:
        world = World(archive, sshd, random.Random(1), looks=False)
        world.new_files(4)
        for host in (*HOSTS, *HOSTS):
            world.sync(host)
        if mutant:
            archive.program = (str(Path(__file__).with_name("mutants.py")), mutant)
        before = world.copies()
        assert set(before.values()) == {4}
        act = prepare(world) or (lambda: [world.sync("a") for _ in range(3)])
        # What died is not our fault.
        before = world.copies()
        act()
        return [*world.lacking(before), *world.given_up()]
    finally:
        archive.close()
