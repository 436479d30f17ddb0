"""Fixtures that many tests share; each family has a module of its own below `tests/fixtures/`."""

import pytest

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.index",
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
