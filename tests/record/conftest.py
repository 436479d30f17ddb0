from __future__ import annotations

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run
from tests.record.rows import Rows


@pytest.fixture
def rows(index: Index) -> Rows:
    return Rows(index)


@pytest.fixture
def run(rows: Rows) -> Run:
    return rows.begin()
