"""The lines that show the progress of a run, each fitted to a width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.cli import output
from alpenhorn.cli.estimates import Estimates, KindProgress, RunProgress
from alpenhorn.coordinator.amounts import COUNTED
from alpenhorn.coordinator.report import Report
from alpenhorn.model.pulls import PullJob
from alpenhorn.model.tasks import Task
from alpenhorn.workers.pool import Activity

GAP = "  "
SHORTEST_BAR, LONGEST_BAR = 8, 40  # columns
SHORTEST_FILE = 12  # columns
LONGEST_NODES = 30  # columns
MOST_PERCENT = 99
NUMBERS = len(
    "  99 %  1023.99 KiB/s  99:59:59 left"
)  # columns; a bar that made room for them would become shorter
WIDE, MEDIUM = 110, 80  # columns from which nodes, and the amount of each task, are shown
DIM, BAD, DONE_BAR, REST_BAR, PLAIN = "dim", "red", "green", "bright_black", ""


class LineMarks(NamedTuple):
    """The characters of the display, which depend on the encoding of the terminal."""

    full: str
    empty: str
    cut: str


UNICODE = LineMarks("━", "─", "…")
ASCII = LineMarks("#", "-", "...")

Part = tuple[str, str]
"""A text and its style."""


def run_lines(
    progress: RunProgress,
    report: Report,
    activity: Sequence[Activity],
    width: int,
    height: int,
    marks: LineMarks,
) -> list[list[Part]]:
    """Return the lines of the live display, none longer than `width` columns, at most `height` lines."""
    found = [_total(progress, width, marks)]
    failed = failures(report, activity)
    for one in progress.kinds:
        found.append(_kind(one, failed.pop(str(one.kind), 0), width))
    found += [[(f"{kind:<8}{GAP}", PLAIN), (f"{count} failed", BAD)] for kind, count in failed.items()]
    most = max(1, height - len(found) - 1)
    busy = [worker for worker in activity if worker.task is not None]
    shown = activity if len(activity) <= most else busy[: most - 1]
    found += _workers(shown, width, marks)
    if len(shown) < len(activity):
        found.append([(f"and {output.count(len(activity) - len(shown), 'more worker')}", DIM)])
    return found[:height]


def failures(report: Report, activity: Sequence[Activity]) -> dict[str, int]:
    """Return the number of failures so far by kind of work, with those of the running tasks."""
    found = Counter({kind: tally.failed for kind, tally in report.tallies.items() if tally.failed})
    for worker in activity:
        if worker.task is not None and worker.failed:
            found[str(worker.task.kind)] += worker.failed
    return dict(found)


def _total(progress: RunProgress, width: int, marks: LineMarks) -> list[Part]:
    head = f"{'total':<8}{GAP}"
    numbers = [f"{_percent(progress.fraction):>3} %", _rate(progress)]
    if progress.left is not None:
        numbers.append(f"{output.clock(progress.left)} left")
    tail = GAP + GAP.join(filter(None, numbers))
    room = min(LONGEST_BAR, width - len(head) - max(NUMBERS, len(tail)))
    if room < SHORTEST_BAR:
        return [((head + tail.strip())[:width], PLAIN)]
    full = int(progress.fraction * room)
    return [
        (head, PLAIN),
        (marks.full * full, DONE_BAR),
        (marks.empty * (room - full), REST_BAR),
        (tail, PLAIN),
    ]


def _kind(one: KindProgress, failed: int, width: int) -> list[Part]:
    parts = [(f"{one.kind:<8}", PLAIN), (f"{one.files} of {output.count(one.known_files, 'file')}", PLAIN)]
    if failed:
        parts.append((f"{failed} failed", BAD))
    if one.known_bytes:
        parts.append((output.part(one.bytes, one.known_bytes), PLAIN))
    if one.added:
        parts.append((f"{one.added} added", DIM))
    return _fitting(parts, width)


def _fitting(parts: Iterable[Part], width: int) -> list[Part]:
    """Return the first parts that fit, with gaps between them."""
    found: list[Part] = []
    room = width
    for text, style in parts:
        text = GAP + text if found else text
        if len(text) > room:
            break
        room -= len(text)
        found.append((text, style))
    return found


def _workers(activity: Sequence[Activity], width: int, marks: LineMarks) -> list[list[Part]]:
    """Return a line for each worker, in columns: number, kind, file, nodes, amount, rate."""
    heads = [
        (str(worker.worker + 1), str(worker.task.kind) if worker.task else "idle") for worker in activity
    ]
    tails = [_tail(worker, width, marks) for worker in activity]
    number_width, kind_width = (max((len(head[i]) for head in heads), default=0) for i in (0, 1))
    tail_widths = [max(map(len, column)) for column in zip(*tails, strict=True)]
    room = width - number_width - kind_width - 2 * len(GAP)
    while tail_widths and room - sum(tail_widths) - len(GAP) * sum(map(bool, tail_widths)) < SHORTEST_FILE:
        tail_widths.pop(0)
        tails = [tail[1:] for tail in tails]
    room -= sum(tail_widths) + len(GAP) * sum(map(bool, tail_widths))
    found = []
    for worker, (number, kind), tail in zip(activity, heads, tails, strict=True):
        head = f"{number:>{number_width}}{GAP}{kind:<{kind_width}}"
        if worker.task is None:
            found.append([(head[:width], DIM)])
            continue
        path = output.middle_cut(output.harmless(current_path(worker)), max(0, room), marks.cut)
        path += " " * (room - output.columns(path))
        cells = [f"{cell:>{space}}" for cell, space in zip(tail, tail_widths, strict=True) if space]
        line = GAP.join([head, path, *cells])
        found.append([(line if output.columns(line) <= width else line[:width], PLAIN)])
    return found


def _tail(worker: Activity, width: int, marks: LineMarks) -> list[str]:
    """Return the cells after the file, the least important first."""
    task = worker.task
    if task is None:
        return ["", "", ""]
    nodes = ""
    if width >= WIDE and task.kind in COUNTED:
        nodes = output.middle_cut(output.harmless(_nodes(task)), LONGEST_NODES, marks.cut)
    if task.bytes:
        done = min(worker.bytes, task.bytes)
        amount = output.part(done, task.bytes) if width >= MEDIUM else output.size(done)
        rate = f"{output.size(worker.bytes / worker.seconds)}/s" if worker.bytes and worker.seconds else ""
        return [nodes, amount, rate]
    files = f"{worker.files} of {output.count(task.files, 'file')}" if task.files else ""
    return [nodes, files, ""]


def current_path(worker: Activity) -> str:
    """Return the file that a worker is working on; a description if it works on no file of a known name."""
    task = worker.task
    if task is None or worker.path:
        return worker.path
    files = getattr(task.job, "files", ()) if task.kind in COUNTED else ()
    path: str = getattr(files[0], "path", "") if files else ""
    return path or f"on {task.job.node.name}"


def _nodes(task: Task) -> str:
    if isinstance(task.job, PullJob):
        return f"{task.job.source.name} to {task.job.node.name}"
    return f"on {task.job.node.name}"


def _percent(fraction: float) -> int:
    """Return the percentage; 100 is never shown, since the next round of the run may find more work."""
    return min(MOST_PERCENT, int(100 * fraction))


def _rate(progress: RunProgress) -> str:
    if progress.bytes_per_second >= 1:
        return f"{output.size(progress.bytes_per_second)}/s"
    if progress.files_per_second >= 0.1:
        return f"{progress.files_per_second:.1f} files/s"
    return ""


class PlainLine:
    """The lines of the plain form; `now`: when the work begins, in seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._estimates = Estimates(now)

    def line(self, report: Report, activity: Sequence[Activity], now: float) -> str:
        """Return a line such as `42 %, 1.20 MiB/s, 2:11 left; pull: 3 of 9 files, 1 failed; now: acq/a, acq/b`."""
        progress = self._estimates.update(report.amounts, activity, now)
        numbers = [f"{_percent(progress.fraction)} %", _rate(progress)]
        if progress.left is not None:
            numbers.append(f"{output.clock(progress.left)} left")
        found = [", ".join(filter(None, numbers))]
        failed = failures(report, activity)
        for one in progress.kinds:
            amounts = [f"{one.files} of {output.count(one.known_files, 'file')}"]
            if one.known_bytes:
                amounts.append(output.part(one.bytes, one.known_bytes))
            if one.kind in failed:
                amounts.append(f"{failed.pop(str(one.kind))} failed")
            if one.added:
                amounts.append(f"{one.added} added")
            found.append(f"{one.kind}: {', '.join(amounts)}")
        found += [f"{kind}: {count} failed" for kind, count in failed.items()]
        paths = [current_path(worker) for worker in activity if worker.task is not None]
        if paths:
            found.append(f"now: {', '.join(paths)}")
        return "; ".join(found)
