"""Ends of runs, and an archive of which there is something to tell."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alpenhorn.config import Config, load
from alpenhorn.coordinator.report import Tally
from alpenhorn.monitoring.run_end import RunEnd
from tests.fixtures.archive import Archive

BEGAN = datetime(2026, 11, 26, 12, 0, 0)
ENDED = BEGAN + timedelta(seconds=90)
ENDED_S = 1795694490.0
HERE = ("here",)


def end(
    status: int = 0,
    ended: datetime = ENDED,
    nodes: tuple[str, ...] = ("vault",),
    left_out: tuple[str, ...] = (),
    **amounts: tuple[int, int, int],
) -> RunEnd:
    """The end of a run; `amounts`: files done, files failed, and bytes by kind of work."""
    tallies = {}
    for kind, (done, failed, bytes_) in amounts.items():
        tallies[kind] = tally = Tally()
        tally.done, tally.failed, tally.bytes = done, failed, bytes_
    return RunEnd("here", 1, BEGAN, ended, status, "", nodes, left_out, (), tallies)  # type: ignore[arg-type]


def configured(archive: Archive) -> Config:
    path = archive.configure(metrics={"textfile": str(archive.base / "textfiles" / "alpenhorn.prom")})
    (archive.base / "textfiles").mkdir(exist_ok=True)
    return load(path, {"HOME": str(archive.base)})


@pytest.fixture
def config(archive: Archive) -> Config:
    """An archive with nodes vault and spare, good and bad copies, and two pending requests."""
    archive.node("vault", archive=1, avail_gb=3.0, max_total_gb=None, auto_verify=5)
    archive.node("spare", active=0)
    for number, (vault, spare) in enumerate((("YY", "YY"), ("YM", "NN"), ("XY", "YN"), ("NY", "MY"))):
        file_id = archive.file(f"acq/{number}", b"12345")
        archive.set_copy(file_id, "vault", vault)
        archive.set_copy(file_id, "spare", spare)
        archive.once_good(file_id, "vault")
    for file, verified in ((1, "2026-01-01 00:00:00"), (4, "2025-01-01 00:00:00")):
        archive.do("UPDATE sync_verification SET verified = ? WHERE file_id = ?", verified, file)
    first, second, done = archive.requests([file_id] * 3, "spare", "vault")
    archive.do(
        "UPDATE archivefilecopyrequest SET timestamp = '2025-01-01 00:00:00', completed = 1 WHERE id = ?",
        first,
    )
    archive.do("UPDATE archivefilecopyrequest SET timestamp = '2026-02-03 00:00:00' WHERE id = ?", second)
    assert done > second
    archive.to_tape(first, "spare")
    archive.insert("sync_index", name="backup", value="/kept/index.db", at="2026-11-25 03:00:00")
    return configured(archive)
