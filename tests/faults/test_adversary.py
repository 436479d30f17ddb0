"""An adversary plays with an archive: no file gets fewer copies because of us than the minimum, or than it had, and
nothing that somebody put on a disk is ever gone.

Its steps are what people and machines do (see `adversary.py`).  By hand, longer:

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

from tests.faults.adversary import ARCHIVES, HOST_OF, HOSTS, World
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
    """The state machine for one index; `ends`: when, by the monotonic clock, nothing more is begun."""

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
                    assert self.world.wrong_rows() == []
            finally:
                counts["games"] += 1
                if hasattr(self, "world"):
                    counts.update(self.world.counts)
                    counts["deletions"] += self.world.deletions()
                self.archive.close()
                self.directory.cleanup()

        def judged(self, act: Callable[[], object]) -> None:
            """What we do: it is for what happens here that we are to blame."""
            self.before = self.world.copies()
            act()
            lost = self.world.lacking(self.before)
            assert lost == [], lost
            self.before = None

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

        @rule()
        def run_all(self) -> None:
            if self.done("all sync"):
                for host in HOSTS:
                    self.judged(lambda host=host: self.world.sync(host))

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

        @rule()
        def release_everywhere(self) -> None:
            if self.done("release all"):
                for key in HOST_OF:
                    self.world.release(key)

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

        @rule()
        def back_up_index(self) -> None:
            if self.done("back up"):
                self.world.back_up_index()

        @rule()
        def restore_index(self) -> None:
            if self.done("restore"):
                self.world.restore_index()

        @rule(key=NODES)
        def rot(self, key: str) -> None:
            if self.done("rot"):
                self.world.rot(key)

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
    """The one kind of exception that ends a test of Hypothesis at once, and is no failure."""


def play(url: Callable[[Path], str], server: Sshd, seconds: float, number: int) -> Counter[str]:
    """One game after the other until the time is up; `number` decides what they are."""
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
    """Makes an empty index for a game that has a directory of its own; returns its URL."""
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
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Both engines share the time.
    seconds = request.config.getoption("--minutes") * 30
    counts = play(new_index, sshd, seconds, request.config.getoption("--games"))
    with capsys.disabled():
        print(f"\nadversary: {dict(sorted(counts.items()))}")
    assert counts["games"] and counts["runs"] and counts["deletions"]
