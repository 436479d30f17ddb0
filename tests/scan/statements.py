"""The statements that reach the database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Statements(logging.Handler):
    """`count`: their number; `sql`: their texts, without values."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0
        self.sql: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        if isinstance(record.msg, tuple):
            self.sql.append(str(record.msg[0]))


@contextmanager
def counted() -> Iterator[Statements]:
    """peewee logs each statement that it executes."""
    logger = logging.getLogger("peewee")
    level, statements = logger.level, Statements()
    logger.addHandler(statements)
    logger.setLevel(logging.DEBUG)
    try:
        yield statements
    finally:
        logger.removeHandler(statements)
        logger.setLevel(level)
