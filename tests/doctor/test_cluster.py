"""The findings about the Dask cluster, whose scheduler and workers are real."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, Result
from tests.fixtures.dask import DaskCluster, dask_cluster

pytestmark = pytest.mark.ci


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path / "dask") as started:
        yield started


def doctor(archive: Archive, cluster: DaskCluster) -> Result:
    archive.configure(sync={"scheduler": cluster.address})
    return archive.run("doctor")


def test_machines_are_named_and_a_missing_worker_or_scheduler_is_a_warning(
    sqlite_archive: Archive, cluster: DaskCluster
) -> None:
    found = doctor(sqlite_archive, cluster)
    assert f"warn  this host does all work itself, since no worker is registered with {cluster.address}" in (
        found.out.replace("the Dask scheduler ", "")
    )
    one, more = cluster.add(), cluster.add(4)
    found = doctor(sqlite_archive, cluster)
    assert f"({one.address}) of the Dask cluster does jobs\n" in found.out
    assert f"({more.address}) of the Dask cluster does 4 jobs at once\n" in found.out
    assert "warn  machine" not in found.out and found.err == ""
    assert cluster.scheduler is not None
    cluster.end_workers()
    cluster.scheduler.end()
    down = doctor(sqlite_archive, cluster)
    assert (
        f"warn  this host does all work itself, since the Dask scheduler {cluster.address} cannot be"
        in down.out
    )
    assert down.err == "" and down.status == found.status


def test_a_scheduler_that_hangs_is_a_warning(sqlite_archive: Archive) -> None:
    """It accepts the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        sqlite_archive.configure(sync={"scheduler": address})
        found = sqlite_archive.run("doctor")
    assert f"{address} cannot be used: TimeoutError: no answer within 5 s" in found.out and found.err == ""


def test_a_machine_with_another_version_is_named(sqlite_archive: Archive, cluster: DaskCluster) -> None:
    cluster.add(preload="import alpenhorn; alpenhorn.__version__ = '0.0.9'")
    found = doctor(sqlite_archive, cluster)
    assert "version 0.0.9 of alpenhorn" in found.out and "warn  machine" in found.out


def test_without_the_package_dask_it_says_what_to_install(sqlite_archive: Archive, tmp_path: Path) -> None:
    """A directory on the path with a `distributed` that cannot be imported stands for the missing package."""
    (tmp_path / "hides" / "distributed").mkdir(parents=True)
    (tmp_path / "hides" / "distributed" / "__init__.py").write_text("raise ImportError('not installed')\n")
    sqlite_archive.configure(sync={"scheduler": "tcp://127.0.0.1:1"})
    found = sqlite_archive.run("doctor", environ={"PYTHONPATH": str(tmp_path / "hides")})
    assert "cannot be imported: ImportError: not installed; pip install 'alpenhorn[dask]'" in found.out
