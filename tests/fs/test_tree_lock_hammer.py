"""The up/down lock under many processes and random kills, and mutants that the same tests must catch."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from alpenhorn.fs.tree_lock import TreeLock
from tests.fs.hammer import Child, GatelessLock, NoLock, child, hammer

PROCESSES = 16

# How long a mutant may take to be caught; it takes a second or two.
MUTANT_SECONDS = 60.0


@pytest.mark.hammer
def test_under_load_and_kills_both_states_never_overlap_and_nobody_starves(
    tmp_path: Path, long: bool
) -> None:
    score = hammer(TreeLock, str(tmp_path), PROCESSES, 60 if long else 10, least=1000)
    print(score)
    assert score.violations == 0
    assert score.kills > 10
    assert min(score.ups, score.downs) >= max(1000, max(score.ups, score.downs) / 3)
    assert score.longest < (score.ups + score.downs) / 2
    # Those that were killed have left nothing behind.
    for state in (TreeLock(tmp_path).up, TreeLock(tmp_path).down):
        with state(blocking=False):
            pass


@pytest.mark.timeout(MUTANT_SECONDS + 60)
def test_hammer_catches_a_lock_without_its_gate(tmp_path: Path) -> None:
    score = hammer(GatelessLock, str(tmp_path), PROCESSES, MUTANT_SECONDS, stop_at=5)
    assert score.violations >= 5


def hold_again_and_again(pipe: Connection, kind: type[TreeLock], root: str) -> None:
    lock = kind(root)
    with lock.up():
        pipe.send("in")
        pipe.poll(0.02)
    while True:
        with lock.up():
            pipe.poll(0.02)


def go_down_again_and_again(pipe: Connection, kind: type[TreeLock], root: str) -> None:
    lock = kind(root)
    while True:
        with lock.down():
            pipe.send("in")


@contextlib.contextmanager
def down_among_overlapping_ups(kind: type[TreeLock], root: str) -> Iterator[Child]:
    """One process goes down among 15 that hold it up so often that some always do."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(child(hold_again_and_again, kind, root)) for _ in range(15)]
        for holder in holders:
            assert holder.tell() == "in"
        yield stack.enter_context(child(go_down_again_and_again, kind, root))


def test_down_is_granted_among_ups_that_always_overlap(tmp_path: Path) -> None:
    with down_among_overlapping_ups(TreeLock, str(tmp_path)) as down:
        for _ in range(20):
            assert down.tell() == "in"


def test_down_is_never_granted_among_overlapping_ups_without_the_gate(tmp_path: Path) -> None:
    with down_among_overlapping_ups(GatelessLock, str(tmp_path)) as down:
        assert not down.pipe.poll(3)


def place(pipe: Connection, kind: type[TreeLock], root: str, number: int) -> None:
    """Create directories and a file in them, under up; remove the file; report errors."""
    lock = kind(root)
    for turn in itertools.count():
        directory = os.path.join(root, f"acq{turn % 2}", f"{turn % 3}")
        path = os.path.join(directory, f"file{number}")
        try:
            with lock.up():
                os.makedirs(directory, exist_ok=True)
                with open(path, "x"):
                    pass
        except OSError as error:
            # Not found, or from makedirs "exists", when it went between mkdir's answer and the look at it.
            pipe.send(str(error))
        else:
            os.unlink(path)
        if turn % 500 == 499:
            pipe.send("")


def prune(pipe: Connection, kind: type[TreeLock], root: str) -> None:
    """Remove empty directories, under down."""
    lock = kind(root)
    while True:
        with lock.down():
            for directory, _, _ in os.walk(root, topdown=False):
                if directory != root:
                    with contextlib.suppress(OSError):
                        os.rmdir(directory)


def placed_while_pruned(kind: type[TreeLock], root: str, rounds: int) -> str:
    """Return the first error while files were placed, 500 per round, and directories pruned."""
    with contextlib.ExitStack() as stack:
        placers = [stack.enter_context(child(place, kind, root, number)) for number in range(4)]
        for _ in range(2):
            stack.enter_context(child(prune, kind, root))
        for _ in range(rounds):
            for placer in placers:
                if wrong := placer.tell():
                    return str(wrong)
    return ""


def test_files_are_placed_while_empty_directories_are_pruned(tmp_path: Path) -> None:
    assert placed_while_pruned(TreeLock, str(tmp_path), rounds=8) == ""


def test_files_cannot_be_placed_while_directories_are_pruned_without_the_lock(tmp_path: Path) -> None:
    assert placed_while_pruned(NoLock, str(tmp_path), rounds=1000) != ""
