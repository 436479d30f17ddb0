"""Options of the test suite, and the modules with shared fixtures."""

import os

import pytest

pytest_plugins = [
    "tests.fixtures.index",
    "tests.fixtures.rows",
    "tests.fixtures.archive",
    "tests.fixtures.server",
    "tests.fixtures.galera",
    "tests.fixtures.sshd",
    "tests.fixtures.packages",
    "tests.fixtures.process",
    "tests.fixtures.http",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alpenhorn")
    group.addoption("--long", action="store_true", help="run the long tests in full: the release check")
    group.addoption(
        "--minutes",
        type=float,
        help="duration of the adversary test (default: 3 with --long, two thirds of a minute without)",
    )
    group.addoption("--games", type=int, default=1, help="seed of the adversary test")


LONG = ("adversary", "hammer", "kill")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long tests first, so that at the end no process is left with one of them."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in LONG))
