"""Import detectors of packages, which find the acquisition of a new file.

A package offers each as an entry point in the group `alpenhorn.import_detect`, a callable

    detect(path: str, node: NodeView) -> str | tuple[str, Callback] | None
    detect(path: str, node: NodeView, index: IndexView) -> str | tuple[str, Callback] | None

`path` is that of a file, relative to the node's root.  None declines the file.  Otherwise it returns the
acquisition's name, which must be a directory part of the path, since `acquisition/file` is the path on every
other node; and, optionally, a callback for when the file is in the index,

    callback(imported: ImportedFile, index: Index) -> None
    callback(imported: ImportedFile, index: Index, node: NodeFact) -> None

which must pickle (a function of a module, or a functools.partial of one), and is called in another process.
Workers call the detectors in the order of their names until one does not decline.

The third argument is passed if there is a third parameter without a default.

Workers have no connection to the index.  What a detector needs of it is read before by a function of the package, an
entry point of the detector's name in the group `alpenhorn.import_facts`,

    facts(index: Index) -> Any

It is called once for each search, in the main process.  The value, which must pickle, is `IndexView.facts`.
"""

from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from alpenhorn.extensions.points import IMPORT_DETECT, Plugin, exception_text, offered, plugins
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.imports import Detected, DetectorFacts
from alpenhorn.model.searches import FoundFile
from alpenhorn.reasons import Code, Why

Callback = Callable[..., None]


class NodeView:
    """A node as passed to a detector, with access to its files.  Paths are relative to its root."""

    def __init__(self, node: DirectoryNode) -> None:
        self._node = node

    @property
    def name(self) -> str:
        return self._node.node.name

    @property
    def host(self) -> str | None:
        return self._node.node.host

    @property
    def root(self) -> str:
        return self._node.root

    def exists(self, path: str) -> bool:
        return self._node.exists(path)

    def size(self, path: str) -> int:
        """Return the length in bytes of a regular file.  Raises as `open` does."""
        with self.open(path) as file:
            return os.fstat(file.fileno()).st_size

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading bytes, without following symbolic links.

        Raises OSError for errors of the file system, UnsafePath for a path that leads out of the root,
        StorageError if it is not a regular file.
        """
        return os.fdopen(self._node.open(path), "rb")


class Knowledge:
    """What the detectors may know of the index for the files of one job; see `DetectJob`."""

    def __init__(self, acqs: frozenset[str], facts: Iterable[DetectorFacts]) -> None:
        self.acqs = acqs
        self.errors = {one.detector: one.error for one in facts if one.error}
        self._pickled = {one.detector: one.value for one in facts if not one.error}
        self._facts: dict[str, Any] = {}

    def facts(self, detector: str) -> Any:
        """Return what was read for a detector, None if its package reads nothing.  Raises what unpickling raises."""
        if detector not in self._facts:
            self._facts[detector] = (
                pickle.loads(self._pickled[detector]) if detector in self._pickled else None
            )
        return self._facts[detector]


class IndexView:
    """What a detector may know of the index, as it was when the file was found.

    `facts`: the value of the function of the same name in the group `alpenhorn.import_facts`; None without one.
    """

    def __init__(self, path: str, acqs: frozenset[str], facts: Any) -> None:
        self.facts = facts
        self._path = path
        self._acqs = acqs

    def is_new_acq(self, acq: str) -> bool:
        """Return whether the index lacks this acquisition of the file.

        Raises ValueError if it is not a directory part of the file's path, since others were not looked up.
        """
        if not acq or not self._path.startswith(f"{acq}/"):
            raise ValueError(f"{acq!r} is not the start of the path {self._path}")
        return acq not in self._acqs


def installed() -> tuple[str, ...]:
    """Return the installed detectors, without loading any: `name of package version`."""
    return tuple(
        f"{one.name} of {one.dist.name} {one.dist.version}" if one.dist else one.name
        for one in offered(IMPORT_DETECT)
    )


class Detector(NamedTuple):
    """A detector, loaded if possible.  `takes_index`: it has a third parameter."""

    plugin: Plugin
    takes_index: bool


@cache
def detectors() -> tuple[Detector, ...]:
    """Return all detectors by name."""
    return tuple(Detector(one, required_arguments(one.loaded) == 3) for one in plugins(IMPORT_DETECT, _fault))


def required_arguments(function: Any) -> int:
    """Return the number of positional parameters without a default; 0 if that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except Exception:  # a package may define any signature
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


def ask(found: FoundFile, view: NodeView, knowledge: Knowledge) -> Detected:
    """Call the detectors in turn until one claims the file or fails.

    A detector that cannot be loaded, or whose facts could not be read, is reported only if no other claims the file.
    """
    unusable: Why = ""
    for plugin, takes_index in detectors():
        if why := plugin.error or knowledge.errors.get(plugin.name, ""):
            unusable = unusable or Code.DETECTOR_UNUSABLE(detector=plugin.name, origin=plugin.origin, why=why)
            continue
        try:
            if takes_index:
                index = IndexView(found.path, knowledge.acqs, knowledge.facts(plugin.name))
                answer = plugin.loaded(found.path, view, index)
            else:
                answer = plugin.loaded(found.path, view)
            if answer is not None:
                return _detected(found, plugin, answer)
        except (
            BaseException
        ) as error:  # anything a package raises; nothing interrupts a worker by an exception
            return Detected(
                found, error=Code.DETECTOR_FAILED(detector=plugin.name, why=exception_text(error))
            )
    return Detected(found, error=unusable)


def _detected(found: FoundFile, plugin: Plugin, answer: Any) -> Detected:
    acq, callback = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    if not isinstance(acq, str) or not (callback is None or callable(callback)):
        return Detected(
            found, error=Code.DETECTOR_GAVE_WRONG_ANSWER(detector=plugin.name, answer=repr(answer))
        )
    return Detected(found, acq, plugin.name, b"" if callback is None else pickle.dumps(callback))


def _fault(found: Any) -> Why:
    required = required_arguments(found)
    if required > 3:
        return Code.PLUGIN_HAS_WRONG_ARGUMENTS(count=required)
    return not_callable(found)


def not_callable(found: Any) -> Why:
    """Return why an object cannot be called; "" if it can."""
    return "" if callable(found) else Code.PLUGIN_NOT_CALLABLE(kind=type(found).__name__)
