"""Fixtures that many tests share; each family has a module of its own below `tests/fixtures/`."""

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
    group.addoption("--minutes", type=float, default=3.0, help="How long the adversary plays.")
    group.addoption("--games", type=int, default=1, help="What decides which games the adversary plays.")


LONG = ("adversary", "hammer", "kill")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no worker is left with one of them at the end."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in LONG)}
    items.sort(key=lambda item: item.path not in long)
