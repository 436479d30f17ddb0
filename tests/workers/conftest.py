"""Services for nodes with objects, one of each kind for a module, and nodes there with a place of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.rclone import Service, serving
from tests.workers.object_store import Store


@pytest.fixture(scope="module")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("webdav") / "service", "webdav") as service:
        yield service


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("s3") / "service", "s3") as service:
        yield service


@pytest.fixture
def store(tmp_path: Path, webdav: Service) -> Store:
    return Store(tmp_path, webdav)


@pytest.fixture(params=["webdav", "s3"])
def any_store(tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    """Return a node whose uploads go by a temporary name, and one with a service that stores whole objects at once."""
    return Store(tmp_path, request.getfixturevalue(request.param))
