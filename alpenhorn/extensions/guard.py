"""Turn all errors of packages' storage classes into StorageError.

In a worker, an error fails one job only.  In the main process, it would end the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from alpenhorn.errors import StorageError
from alpenhorn.extensions.points import exception_text
from alpenhorn.io.base import BatchTapeNode, Group, Node, Refusal, Remote, Room, TapeNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFact
from alpenhorn.model.tape_batches import BatchLimits
from alpenhorn.reasons import Code
from alpenhorn.transfer.methods import BY_SETTING


@contextmanager
def guarded(io_class: str | None, owner: str, code: Code = Code.STORAGE_CLASS_FAILS) -> Iterator[None]:
    """Turn whatever is raised within it into a StorageError, so that other nodes and groups continue."""
    try:
        yield
    except (StorageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit
        raise StorageError(code(name=io_class, owner=owner, why=exception_text(error))) from error


def is_built_in(cls: type) -> bool:
    return cls.__module__.startswith("alpenhorn.")


def check_node(node: Node) -> None:
    """Check the properties of a node that the main process uses.  Raises TypeError for a value of the wrong type."""
    jobs, seconds = node.jobs, node.probe_seconds
    _expect(jobs is None or (type(jobs) is int and jobs > 0), "jobs", jobs, "a number of workers or None")
    methods = (*BY_SETTING.values(), Method.OBJECTS)
    _expect(node.local_method in methods, "local_method", node.local_method, "a Method")
    _expect(_is_time(seconds) and seconds > 0, "probe_seconds", seconds, "a number of seconds")
    _expect(_are_texts(node.warnings), "warnings", node.warnings, "a tuple of texts")
    check = node.manifest_check
    _expect(type(check) is str, "manifest_check", check, "a text")
    if isinstance(node, TapeNode):
        for name in ("headroom_b", "restore_limit", "release_check_count"):
            value = getattr(node, name)
            _expect(type(value) is int and value >= 0, name, value, "a whole number")
        _expect(_is_time(node.restore_wait), "restore_wait", node.restore_wait, "a number of seconds")
    if isinstance(node, BatchTapeNode):
        limits = node.batch_limits
        right = (
            isinstance(limits, BatchLimits)
            and all(
                type(value) is int and value > 0 for value in (limits.files, limits.size_b, limits.at_once)
            )
            and _is_time(limits.wait)
        )
        _expect(right, "batch_limits", limits, "BatchLimits of at least 1 file, 1 byte and 1 batch")
        _expect(type(node.counts_on_tape) is bool, "counts_on_tape", node.counts_on_tape, "True or False")


def reserved(node: Node) -> Callable[[int], int]:
    """Return a function for the space to reserve for a file on a node, which raises StorageError."""
    if is_built_in(type(node)):
        return node.reserved_bytes

    def ask(size_b: int) -> int:
        with guarded(node.node.io_class, f"node {node.node.name}"):
            found = node.reserved_bytes(size_b)
            _expect(type(found) is int and found >= 0, "reserved_bytes", found, "a number of bytes")
            return found

    return ask


class GuardedGroup(Group):
    """The group of a package's storage class; its methods raise StorageError only."""

    def __init__(self, inner: Group) -> None:
        _expect(_are_texts(inner.warnings), "warnings", inner.warnings, "a tuple of texts")
        self._inner = inner
        self.group = inner.group
        self.nodes = tuple(inner.nodes)
        self.settings = inner.settings
        self.warnings = inner.warnings
        self.travels = bool(inner.travels)
        self.known = inner.known

    def refuses(self, source: NodeFact) -> Refusal | None:
        with self._guarded():
            found = self._inner.refuses(source)
            _expect(found is None or _is_refusal(found), "refuses", found, "a Refusal or None")
            return found

    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        with self._guarded():
            found = self._inner.choose(pull, room)
            fits = _is_refusal(found) or (type(found) is int and found in {node.id for node in self.nodes})
            _expect(fits, "choose", found, "the id of one of its nodes or a Refusal")
            return found

    def _guarded(self) -> AbstractContextManager[None]:
        return guarded(self.group.io_class, f"group {self.group.name}")


class GuardedRemote(Remote):
    """The remote of a package's storage class; its methods raise StorageError only."""

    def __init__(self, inner: Remote) -> None:
        _expect(isinstance(inner.witness, str), "witness", inner.witness, "a path")
        self._inner = inner
        self.node = inner.node
        self.settings = inner.settings
        self.witness = inner.witness
        self.objects = bool(inner.objects)

    def ready(self, pull: PullFact) -> bool:
        with guarded(self.node.io_class, f"node {self.node.name}"):
            return bool(self._inner.ready(pull))

    def unreachable(self) -> str:
        with guarded(self.node.io_class, f"node {self.node.name}"):
            found = self._inner.unreachable()
            _expect(isinstance(found, str), "unreachable", found, "a text")
            return found


def _is_refusal(found: object) -> bool:
    return isinstance(found, Refusal) and isinstance(found.reason, str)


def _are_texts(found: object) -> bool:
    return isinstance(found, list | tuple) and all(isinstance(one, str) for one in found)


def _is_time(found: object) -> bool:
    return isinstance(found, int | float) and math.isfinite(found)


def _expect(right: bool, what: str, found: object, wanted: str) -> None:
    if not right:
        raise TypeError(f"{what} is {found!r}, not {wanted}")
