from __future__ import annotations

import datetime
import time

from alpenhorn.config import load
from alpenhorn.coordinator.nodes import Nodes
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import _Session
from alpenhorn.index.connection import Index
from alpenhorn.record import run as runs
from alpenhorn.run.pool import Pool
from alpenhorn.scan import topology


def clock() -> datetime.datetime:
    return datetime.datetime(2026, 11, 22, 12, 0, 0)


def test_no_two_jobs_of_a_run_share_a_stage_though_they_are_of_different_rounds(index: Index) -> None:
    """A worker that hangs in a write, and is abandoned, must not wake up in another job's file."""
    run = runs.begin(index, "here", [], clock)
    with Pool(1, lambda task, report: None) as pool:
        session = _Session(
            index=index,
            pool=pool,
            config=load(None, {"HOME": "/"}),
            asked=Asked(),
            watcher=Unwatched(),
            clock=clock,
            stopping=lambda: False,
            report=Report(),
            run=run,
            started=time.monotonic(),
            start=topology.load(index),
            nodes=[],
            found=Nodes(),
        )
        names = [context.stage() for context in (session._context(), session._context()) for _ in range(3)]
    assert len(set(names)) == 6
