"""Copy the files of an acquisition from nodes of this host, verified, into a new directory.

A file whose copy on one node cannot be used is copied from the next one.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.fs.syscalls import flush, syncfs
from alpenhorn.model.export import ExportFile, ExportJob, ExportResult
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.tasks import Fate, Task, TaskKind
from alpenhorn.plan.batches import BATCH_FILES, split
from alpenhorn.plan.limits import Limits
from alpenhorn.reasons import Why
from alpenhorn.workers.pool import Pool

WAIT = 0.5  # seconds between two looks for Ctrl-C


class FailedCopy(NamedTuple):
    """A copy that could not be used.  `blames`: it differs from the index."""

    file: ExportFile
    node: NodeFact
    why: Why
    blames: bool


class Exported(NamedTuple):
    """`sha256`: the sum of each file that was copied, by file id.  `failed`: the copies that could not be used."""

    sha256: dict[int, str]
    failed: list[FailedCopy]


def copy_files(
    pool: Pool,
    wanted: Sequence[tuple[ExportFile, Sequence[NodeFact]]],
    target: Path,
    limits: Limits,
    progress: Callable[[int], None],
) -> Exported:
    """Copy files, each from the first of its nodes that has it, below `target`.

    `progress` is called with the number of files that are done.  Raises Refused if the target takes no more.
    """
    found = Exported({}, [])
    round_of = [(file, list(nodes)) for file, nodes in wanted]
    while round_of:
        by_node: defaultdict[int, list[ExportFile]] = defaultdict(list)
        nodes = {chosen[0].id: chosen[0] for _, chosen in round_of}
        for file, chosen in round_of:
            by_node[chosen[0].id].append(file)
        tasks = 0
        for node_id, files in by_node.items():
            for task in _tasks(nodes[node_id], files, target, limits):
                pool.submit(task)
                tasks += 1
        while tasks:
            for done in pool.wait(WAIT):
                tasks -= 1
                job = done.task.job
                assert isinstance(job, ExportJob)
                # A worker that ends early has found that the target takes no more.
                results: Sequence[ExportResult] = (
                    done.outcome
                    if done.fate is Fate.DONE
                    else [ExportResult(file, error=done.why) for file in job.files]
                )
                _note(found, job.node, results)
            progress(len(found.sha256))
        round_of = [
            (file, chosen[1:]) for file, chosen in round_of if file.file_id not in found.sha256 and chosen[1:]
        ]
    return found


def _tasks(node: NodeFact, files: Sequence[ExportFile], target: Path, limits: Limits) -> Iterator[Task]:
    for batch in split(files, lambda file: file.size_b, BATCH_FILES, limits.workers):
        size_b = sum(file.size_b for file in batch)
        deadline = limits.deadline(len(batch), size_b)
        job = ExportJob(node, str(target), tuple(batch))
        yield Task(TaskKind.EXPORT, node.id, job, len(batch), size_b, deadline)


def _note(found: Exported, node: NodeFact, results: Sequence[ExportResult]) -> None:
    for result in results:
        if result.ends:
            raise Refused(f"{result.file.path}: {result.error}; nothing was written")
        if result.error:
            found.failed.append(FailedCopy(result.file, node, result.error, result.blames))
        else:
            found.sha256[result.file.file_id] = result.sha256


# --- the directory -------------------------------------------------------------------------------------


def refuse_directory(target: Path) -> None:
    """Raise Refused unless `target` can be created, or is an empty directory, outside of all nodes."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise Refused(f"{target}: not a directory; nothing was written; give a new directory")
    try:
        if target.exists() and any(target.iterdir()):
            raise Refused(f"{target}: not empty; nothing was written; give a new directory")
        parent = target.parent.resolve(strict=True)
    except OSError as error:
        raise Refused(f"{target}: {error.strerror}; nothing was written") from None
    for above in (parent, *parent.parents):
        if (above / MARKER).exists():
            raise Refused(
                f"{target}: lies in {above}, which is the root of a node, whose runs may import it; nothing was"
                " written; give a directory elsewhere"
            )


def refuse_without_room(target: Path, size_b: int) -> None:
    free = shutil.disk_usage(target).free
    if free < size_b:
        raise Refused(f"{target}: {free} bytes are free, and the files have {size_b}; nothing was written")


class NewDirectory(NamedTuple):
    """A directory that is being filled.

    `descriptor`: opened before the first file is written, since a flush reports only writes that failed since then.
    """

    path: Path
    descriptor: int


@contextmanager
def unfinished(target: Path) -> Iterator[NewDirectory]:
    """Yield a new directory beside `target`, which is removed at the end unless `publish` has renamed it.

    So that it is removed after SIGTERM and SIGHUP, too, they raise SystemExit in the meantime.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.unfinished-", dir=target.parent))
        made.chmod(0o777 & ~mask)
        descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused(f"{target}: {error.strerror}; nothing was written") from None
    before = {
        number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP) if _kills(number)
    }
    try:
        yield NewDirectory(made, descriptor)
    finally:
        os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _kills(number: signal.Signals) -> bool:
    """Return whether a signal would end this process; nohup(1) has it ignored."""
    return signal.getsignal(number) is signal.SIG_DFL


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def left_over(target: Path) -> list[Path]:
    """Return directories beside `target` that exports were killed in."""
    return sorted(target.parent.glob(f".{_literal(target.name[:100])}.unfinished-*"))


def publish(made: NewDirectory, target: Path) -> None:
    """Flush a finished directory, and rename it to `target`.  Raises Refused."""
    try:
        syncfs(made.descriptor)
        made.path.rename(target)
        parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flush(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise Refused(f"{target}: {error.strerror}; nothing was written") from None


def _literal(name: str) -> str:
    """Return a glob pattern that matches only the name."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
