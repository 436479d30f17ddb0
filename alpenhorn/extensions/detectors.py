"""Import detectors of packages, which find the acquisition of a new file.

A package offers each as an entry point in the group `alpenhorn.import_detect`, a callable

    detect(path: str, node: NodeView) -> str | tuple[str, Callback] | None

`path` is that of a file, relative to the node's root.  None declines the file.  Otherwise it returns the
acquisition's name, which must be a directory part of the path, since `acquisition/file` is the path on every
other node; and, optionally, a callback for when the file is in the index,

    callback(imported: ImportedFile, index: Index) -> None

which must pickle (a function of a module, or a functools.partial of one), and is called in another process.
Workers call the detectors in the order of their names until one does not decline.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, BinaryIO

from alpenhorn.extensions.points import IMPORT_DETECT, Plugin, exception_text, offered, plugins
from alpenhorn.io.base import Node
from alpenhorn.model.imports import Detected, ImportedFile
from alpenhorn.model.searches import FoundFile
from alpenhorn.reasons import Code, Why

Callback = Callable[[ImportedFile, Any], None]


class NodeView:
    """A node as passed to a detector, with access to its files.  Paths are relative to its root."""

    def __init__(self, node: Node) -> None:
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


def installed() -> tuple[str, ...]:
    """Return the installed detectors, without loading any: `name of package version`."""
    return tuple(
        f"{one.name} of {one.dist.name} {one.dist.version}" if one.dist else one.name
        for one in offered(IMPORT_DETECT)
    )


@cache
def detectors() -> tuple[Plugin, ...]:
    """Return all detectors by name, loaded if possible."""
    return tuple(plugins(IMPORT_DETECT, _fault))


def ask(found: FoundFile, view: NodeView) -> Detected:
    """Call the detectors in turn until one claims the file or fails.

    A detector that cannot be loaded is reported only if no other claims the file.
    """
    unusable: Why = ""
    for plugin in detectors():
        if plugin.loaded is None:
            unusable = unusable or Code.DETECTOR_UNUSABLE(
                detector=plugin.name, origin=plugin.origin, why=plugin.error
            )
            continue
        try:
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
    return "" if callable(found) else Code.PLUGIN_NOT_CALLABLE(kind=type(found).__name__)
