"""Options of the test suite, and the modules with shared fixtures."""

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
    group.addoption("--minutes", type=float, default=3.0, help="duration of the adversary test")
    group.addoption("--games", type=int, default=1, help="seed of the adversary test")


LONG = ("adversary", "hammer", "kill")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take minutes first, so that at the end no worker is left with one of them."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in LONG)}
    items.sort(key=lambda item: item.path not in long)
