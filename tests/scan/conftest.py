from __future__ import annotations

from collections.abc import Iterator

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run
from tests.fixtures.index import open_empty
from tests.record.rows import Rows


@pytest.fixture
def rows(index: Index) -> Rows:
    return Rows(index)


@pytest.fixture
def run(rows: Rows) -> Run:
    return rows.begin()


@pytest.fixture
def sqlite_rows(sqlite_index_url: str) -> Iterator[Rows]:
    index = open_empty(sqlite_index_url)
    yield Rows(index)
    index.close()
