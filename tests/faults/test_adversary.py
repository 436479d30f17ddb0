"""An adversary works against an archive: alpenhorn must not leave a file with fewer copies than the minimum, or than
it had, and must not remove stray files.

Its steps are actions of people and machines (see `adversary.py`).  To run it longer:

    bin/test -m adversary --minutes 60
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.faults.adversary import ARCHIVES, FIELD, HOST_OF, HOSTS, World
from tests.fixtures.archive import Archive
from tests.fixtures.sshd import Sshd

STEPS = 30  # of one game
NODES = st.sampled_from(sorted(HOST_OF))
VAULTS = st.sampled_from(ARCHIVES)
HOST = st.sampled_from(HOSTS)
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
            self.world = World(self.archive, server, random.Random(number))
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
                counts["games"] += 1
                if hasattr(self, "world"):
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
    game = seed(number)(machine(url, server, counts, time.monotonic() + seconds))
    with suppress(TimeIsUp):
        run_state_machine_as_test(
            game,
            settings=settings(
                max_examples=1_000_000,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
    return counts


@pytest.fixture(params=["sqlite", "mariadb"])
def new_index(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Create an empty index for a game in its own directory, and return its URL."""
    if request.param == "sqlite":
        return lambda directory: f"sqlite:///{directory / 'index.db'}"
    server = request.getfixturevalue("mariadb")

    def new(directory: Path) -> str:
        name = directory.name.replace("-", "_")
        server.run(f"CREATE DATABASE `{name}`")
        return str(server.url(name))

    return new


@pytest.mark.adversary
@pytest.mark.timeout(0)
def test_the_adversary_finds_nothing(
    new_index: Callable[[Path], str],
    sshd: Sshd,
    long: bool,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    minutes = request.config.getoption("--minutes") or (3 if long else 2 / 3)
    seconds = minutes * 60 / 2  # both engines share the time
    counts = play(new_index, sshd, seconds, request.config.getoption("--games"))
    with capsys.disabled():
        print(f"\nadversary: {dict(sorted(counts.items()))}")
    assert counts["games"] and counts["runs"] and counts["deletions"]


# --- mutants: what an adversary does that a program without one of the protections does not withstand --------------


def disks_that_died(world: World) -> None:
    """Both disks of other hosts die, their hosts notice, and the copies on field are released."""
    for key in ("v2", "v3"):
        world.unplug(key)
        world.destroy(key)
        world.sync(HOST_OF[key])
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


@pytest.mark.adversary
@pytest.mark.parametrize("mutant", [None, "its own"])
@pytest.mark.parametrize(
    ("name", "prepare"),
    [
        ("unseen", disks_that_died),
        ("exchanged", disks_exchanged),
        ("rolled_back", disks_rolled_back),
        ("restored", index_restored),
        ("linked", disk_linked),
        ("found", file_found),
    ],
)
def test_a_program_without_a_protection_is_caught(
    tmp_path: Path,
    sqlite_index_url: str,
    sshd: Sshd,
    name: str,
    prepare: Callable[[World], None],
    mutant: str | None,
) -> None:
    archive = Archive(tmp_path, sqlite_index_url)
    try:
        world = World(archive, sshd, random.Random(1), looks=False)
        world.new_files(4)
        for host in (*HOSTS, *HOSTS):
            world.sync(host)
        if mutant:
            archive.program = (str(Path(__file__).with_name("mutants.py")), name)
        before = world.copies()
        assert set(before.values()) == {4}
        prepare(world)
        # What died is not our fault.
        before = world.copies()
        for host in ("a", "a", "a"):
            world.sync(host)
        lost = world.lacking(before)
        assert bool(lost) is bool(mutant), lost
    finally:
        archive.close()
