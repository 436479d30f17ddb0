from __future__ import annotations

import datetime
import time
from typing import Any

import pytest

from alpenhorn.config import load
from alpenhorn.coordinator.nodes import Nodes
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import _Session
from alpenhorn.index.connection import Index
from alpenhorn.record import run as runs
from alpenhorn.scan import topology
from alpenhorn.workers.pool import Pool


def clock() -> datetime.datetime:
    return datetime.datetime(2026, 11, 22, 12, 0, 0)


def session(index: Index, pool: Pool, **more: Any) -> _Session:
    return _Session(
        index=index,
        pool=pool,
        config=load(None, {"HOME": "/"}),
        asked=Asked(),
        watcher=Unwatched(),
        clock=clock,
        stopping=lambda: False,
        report=Report(),
        run=runs.begin(index, "here", [], clock),
        started=time.monotonic(),
        start=topology.load(index),
        nodes=[],
        found=Nodes(),
        **more,
    )


def test_jobs_of_different_rounds_never_share_a_stage(index: Index) -> None:
    """A worker that hangs in a write and is abandoned must not continue in the file of another job."""
    with Pool(1, lambda task, report: None) as pool:
        one = session(index, pool)
        names = [context.stage() for context in (one._context(), one._context()) for _ in range(3)]
    assert len(set(names)) == 6


@pytest.mark.parametrize(
    ("lease", "busy", "waits"), [(900.0, True, True), (900.0, False, False), (0.0, True, False)]
)
def test_situation_16_a_lost_index_is_waited_for_while_claims_are_valid_and_something_is_under_way(
    index: Index, lease: float, busy: bool, waits: bool
) -> None:
    with Pool(1, lambda task, report: None) as pool:
        one = session(index, pool, lease=lease)
        one.recording = busy
        assert index.hold_on() is waits
        with index.glancing():
            assert not index.hold_on()
