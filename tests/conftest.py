"""Options of the test suite, and the modules with shared fixtures."""

import gc
import os
import signal
from itertools import groupby

import hypothesis
import pytest

from tests.fixtures import memory

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup a closed terminal, and so would all
# that they start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

# How long an example takes depends on the machine.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

pytest_plugins = [
    "tests.fixtures.index",
    "tests.fixtures.engines",
    "tests.fixtures.starts",
    "tests.fixtures.rows",
    "tests.fixtures.archive",
    "tests.fixtures.server",
    "tests.fixtures.galera",
    "tests.fixtures.sshd",
    "tests.fixtures.packages",
    "tests.fixtures.process",
    "tests.fixtures.http",
    "tests.fixtures.browser",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alpenhorn")
    group.addoption("--long", action="store_true", help="run the long tests in full: the release check")
    group.addoption(
        "--engines",
        choices=("one", "both"),
        default="both",
        help="run each test with one engine of the index, or those that are not marked `one_engine` with both",
    )
    group.addoption(
        "--minutes",
        type=float,
        help="duration of the adversary test (default: 3 with --long, two thirds of a minute without)",
    )
    group.addoption(
        "--start-every",
        type=int,
        help="start the commands of every Nth test as users do, and fork those of the others, which is faster"
        " (default: 1 with --long, 8 without)",
    )
    group.addoption(
        "--in-memory",
        action="store_true",
        help="create the files of tests in memory, where flushing takes no time; without, and in CI, on the disk",
    )
    group.addoption("--games", type=int, default=1, help="seed of the adversary test")


LONG = ("adversary", "hammer", "kill")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--in-memory"):
        memory.keep_files_of_tests()


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether --long was given, and tests do all of their work instead of a part."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def kills(long: bool) -> int:
    """Minimum number of runs that a loop kills."""
    return 10 if long else 4


@pytest.hookimpl(optionalhook=True)  # bin/test-pythons has no xdist
def pytest_xdist_auto_num_workers() -> int:
    """Return two per core: tests spend more than half of their time waiting for processes and disks."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(trylast=True)  # after tests were deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each process of pytest-xdist begin with long tests, so that at the end none is left with some of them.

    Each process is given an equal part of the tests, in their order.  Those of one module stay together, since they may
    share a costly fixture.
    """
    long_ones: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        is_long = any(item.get_closest_marker(name) for name in (*LONG, "slow"))
        (long_ones if is_long else others).append(item)
    parts: list[list[pytest.Item]] = [
        [] for _ in range(getattr(config, "workerinput", {}).get("workercount", 1))
    ]
    of_modules = groupby(long_ones, lambda item: item.path)
    for module in sorted((list(group) for _, group in of_modules), key=len, reverse=True):
        min(parts, key=len).extend(module)
    total = len(items)
    items.clear()
    for number, part in enumerate(parts, 1):
        items += part
        share = total * number // len(parts) - len(items)
        items += others[:share]
        del others[:share]
    items += others


def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection, which would look at all of them again and again."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded as a property, since pytest-xdist discards their output."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(f"{report.nodeid}: {value}")
