"""Metrics of runs and of the archive, for the textfile collector of the Prometheus node exporter.

The file is replaced after every run, and is also the memory of what the next one cannot know: counters, the time of the
last success, and all that describes the archive if the index cannot be used.  The time to read the index grows with the
number of copies: if it took s seconds, it is read again after `REST` * s seconds at the earliest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from alpenhorn.config import Config
from alpenhorn.errors import BUSY, AlpenhornError, IndexUnusable
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.listings import measures, storage
from alpenhorn.model.nodes import GIB
from alpenhorn.monitoring import attention, families, textfile
from alpenhorn.monitoring.families import OF_INDEX, OF_RUNS, Values
from alpenhorn.monitoring.run_end import RunEnd
from alpenhorn.outside import exception
from alpenhorn.reasons import Code, Reason

ANSWER_SECONDS = (
    600.0  # for one statement, which may count all copies; the caller may permit less, for small ones
)
REST = 100  # runs of one host spend at most 1 % of the time on reading the index for metrics
STATES = ("Healthy", "Removable", "Released", "Suspect", "Corrupt", "Missing", "Removed")


class MetricsError(AlpenhornError):
    """The metrics could not be determined or written; runs only warn about it."""

    code = Code.METRICS_FAILED

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


def write(config: Config, index: Index | None, end: RunEnd) -> None:
    """Replace the file of [metrics] textfile, if it is set, after a run.

    `index`: None if it could not be opened.  Raises MetricsError only.
    """
    path = config.metrics.textfile
    if path is None:
        return
    host, now = config.sync.host, posix(end.ended)
    try:
        up = index is not None and _answers(index)
        # Written before the index is read, which may take long, and be ended by a deadline or a signal.
        with _updated(path, host) as values:
            _add_run(values, host, end)
            values[families.INDEX_UP] = {(host,): float(up)}
        if index is not None and up and not index.stopping() and is_due(values, host, now):
            began = time.monotonic()
            before = index.answer_within(ANSWER_SECONDS)
            try:
                read = _read(config, index, now)
            except (IndexUnusable, TimeoutError) as error:
                _set_read_attempt(path, host, now, time.monotonic() - began, {})
                raise MetricsError(Code.METRICS_FAILED(why=error)) from error
            finally:
                index.answer_within(before)
            _set_read_attempt(path, host, now, time.monotonic() - began, read)
    except MetricsError:
        raise
    except Exception as error:
        raise _told(error, path) from error


def text(config: Config, index: Index, now: datetime) -> str:
    """Return the text that `write` writes, with what was known of runs, and the present state of the index.

    `now`: naive UTC.  Raises IndexUnusable, MetricsError.
    """
    path, host = config.metrics.textfile, config.sync.host
    try:
        values = {} if path is None else _previous(path, host)
        values[families.INDEX_UP] = {(host,): 1.0}
        values.update(_read(config, index, posix(now)))
        return families.render(values).decode()
    except IndexUnusable:
        raise
    except Exception as error:
        raise _told(error, path) from error


@contextmanager
def _updated(path: Path, host: str) -> Iterator[Values]:
    """Yield the values in the file, and replace it by what the block makes of them."""
    with textfile.locked(path):
        values = _previous(path, host)
        yield values
        textfile.replace(path, families.render(values))


def _set_read_attempt(path: Path, host: str, now: float, seconds: float, read: Values) -> None:
    with _updated(path, host) as values:
        values[families.READ_ATTEMPT] = {(host,): now}
        values[families.READ_SECONDS] = {(host,): seconds}
        values.update(read)


def _told(error: Exception, path: Path | None) -> MetricsError:
    if isinstance(error, ImportError):
        return MetricsError(Code.METRICS_PACKAGE_MISSING(why=error))
    if isinstance(error, OSError):
        return MetricsError(Code.METRICS_FILE_UNUSABLE(file=path, why=error.strerror or error))
    return MetricsError(Code.METRICS_FAILED(why=exception(error)))


def _previous(path: Path, host: str) -> Values:
    """Return the values in the file, without those of runs under another name of this host."""
    values = families.parse(textfile.read(path))
    for family in OF_RUNS:
        mine = {labels: value for labels, value in values.pop(family.name, {}).items() if labels[0] == host}
        if mine:
            values[family.name] = mine
    return values


def _add_run(values: Values, host: str, end: RunEnd) -> None:
    """Add the end of a run to the values that were known before it."""
    values[families.ATTEMPT] = {(host,): posix(end.ended)}
    success = values.setdefault(families.SUCCESS, {(host,): 0.0})
    if end.worked:
        success[host,] = posix(end.ended)
    if end.exit_status == BUSY:  # it was no run: another one has the nodes, and will tell
        return
    values[families.SECONDS] = {(host,): (end.ended - end.began).total_seconds()}
    values[families.EXIT_STATUS] = {(host,): float(end.exit_status)}
    values[families.LEFT_OUT] = {(host,): float(len(end.left_out))}
    files, bytes_ = values.setdefault(families.FILES, {}), values.setdefault(families.BYTES, {})
    for kind, amount in end.amounts.items():
        for result, number in (("done", amount.done), ("failed", amount.failed)):
            files[host, kind, result] = files.get((host, kind, result), 0.0) + number
        bytes_[host, kind] = bytes_.get((host, kind), 0.0) + amount.bytes


def _answers(index: Index) -> bool:
    """Return whether the index can be used, without waiting until it can."""
    try:
        with index.impatient():
            storage.hosts(index)
    except IndexUnusable:
        return False
    return True


def is_due(before: Values, host: str, now: float) -> bool:
    """Return whether enough time has passed since the index was read.  `now`: POSIX seconds."""
    last = before.get(families.READ_ATTEMPT, {}).get((host,), 0.0)
    return not 0 <= now - last < REST * before.get(families.READ_SECONDS, {}).get((host,), 0.0)


def _read(config: Config, index: Index, now: float) -> Values:
    """Return everything that the index knows.  `now`: POSIX seconds."""
    values: Values = {family.name: {} for family in OF_INDEX}  # also those without values: others are gone
    seen = attention.look(index, config)
    copies = measures.copies(index)
    for status in seen.found.nodes:
        node = status.node
        for state in STATES:
            values[families.COPIES][node.name, state.lower()] = copies.get(node.id, {}).get(state, 0)
        values[families.ACTIVE][node.name,] = float(node.active)
        if node.avail_gb is not None:
            values[families.FREE][node.name,] = float(round(node.avail_gb * GIB))
        if status.full is not None:
            values[families.USED][node.name,] = status.full
        if status.verified is not None:
            values[families.VERIFIED][node.name,] = posix(status.verified)
        if status.to_tape is not None:
            values[families.TO_TAPE][node.name,] = status.to_tape.files
            if status.to_tape.since is not None:
                values[families.TO_TAPE_SINCE][node.name,] = posix(status.to_tape.since)
    for group in measures.pending(index):
        values[families.PENDING][group.group,] = group.requests
        if group.oldest is not None:
            values[families.OLDEST][group.group,] = posix(group.oldest)
    items = values[families.ATTENTION]
    for item in seen.items:
        code = (item.code or str(Code.UNKNOWN),)
        items[code] = items.get(code, 0) + 1
    newest = seen.found.backups.newest
    values[families.BACKUP][()] = 0.0 if newest is None else posix(newest.at)
    values[families.READ] = {(config.sync.host,): now}
    return values
