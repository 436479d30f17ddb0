"""Fixtures that many tests share; each family has a module of its own below `tests/fixtures/`."""

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
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alpenhorn")
    group.addoption(
        "--long",
        action="store_true",
        help="Do all of the tests whose parts are otherwise sampled: the release check.",
    )
    group.addoption(
        "--minutes",
        type=float,
        help="How long the adversary plays: 3 with --long, two thirds of one without.",
    )
    group.addoption("--games", type=int, default=1, help="What decides which games the adversary plays.")


LONG = ("adversary", "hammer", "kill")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether --long was given, so that a test does all that it can do and not a part of it."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def kills(long: bool) -> int:
    """How often a loop kills what it runs, at least."""
    return 10 if long else 4


@pytest.hookimpl(optionalhook=True)  # bin/test-pythons has no xdist
def pytest_xdist_auto_num_workers() -> int:
    """Two processes for each core: tests spend more than half of their time waiting for processes and disks."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in LONG))
