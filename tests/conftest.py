"""Fixtures that many tests share; each family has a module of its own below `tests/fixtures/`."""

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.index",
    "tests.fixtures.galera",
    "tests.fixtures.sshd",
    "tests.fixtures.packages",
    "tests.fixtures.process",
]
