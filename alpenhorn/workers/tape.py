"""Look where the files of tape nodes are, restore them, and release them to tape.

Never waits for tape.  Call `out_of_reach` before reading files of such a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from alpenhorn.io.base import TapeNode
from alpenhorn.model.tape import Location, TapeAction, TapeFile, TapeJob, TapeResult, TapeState
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Why, from_outside

AT_ONCE = 100  # files between two checks whether the run is to stop


def tape(job: TapeJob, node: TapeNode, report: Reporter) -> tuple[TapeResult, ...]:
    """Return where each file is after the requested action; files not begun when the run is stopped get no result.

    Raises StorageError if the node itself is gone, so that an unmounted file system does not make files look lost.
    """
    node.check()
    results: list[TapeResult] = []
    for start in range(0, len(job.files), AT_ONCE):
        if report.stopping():
            break
        some = job.files[start : start + AT_ONCE]
        results += _some(job.verb, some, node)
        report.progress(len(some), 0)
    return tuple(results)


def out_of_reach(node: TapeNode, paths: Sequence[str]) -> dict[str, TapeState]:
    """Return the files that are, or may be, on tape only and must not be read.  Raises StorageError."""
    return {
        path: state
        for path, state in node.where(paths).items()
        if state.where is None or not (state.where.readable or state.where is Location.GONE)
    }


def why_unread(node: TapeNode, path: str, state: TapeState) -> Why:
    """Return why a file out of reach is not imported, and what to do."""
    if state.where is None:
        return state.error
    command = node.restore_command(path)
    remedy = f"restore it with: {command}" if command else "restore it from tape"
    return Code.IMPORT_OF_FILE_ON_TAPE(where=state.where, remedy=remedy)


def _some(verb: TapeAction, files: Sequence[TapeFile], node: TapeNode) -> list[TapeResult]:
    states = node.where([file.path for file in files])
    if any(one.where is Location.GONE for one in states.values()):
        node.check()
    if verb is TapeAction.RESTORE:
        states |= _apply(states, Location.TAPE, node.restore, Location.COMING)
    elif verb is TapeAction.LEAVE:
        states |= _apply(states, Location.BOTH, node.leave_to_tape, Location.TAPE)
    return [TapeResult(file, states[file.path].where, states[file.path].error) for file in files]


def _apply(
    states: Mapping[str, TapeState],
    where: Location,
    act: Callable[[Sequence[str]], Mapping[str, str]],
    becomes: Location,
) -> dict[str, TapeState]:
    """Run `act` on files in the state `where` that are not held; return their new states."""
    begun = [path for path, one in states.items() if one.where is where and not one.held]
    failed = act(begun) if begun else {}
    return {
        path: TapeState(where, from_outside(failed[path])) if path in failed else TapeState(becomes)
        for path in begun
    }
