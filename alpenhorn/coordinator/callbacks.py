"""Callbacks of import detectors, called in the parent after a file was recorded; their failures stop nothing.

A callback is called after the commit, and at most once: if the run is killed in between, no run calls it, since the
file is no longer new.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from functools import cached_property

from alpenhorn.coordinator import plugins
from alpenhorn.coordinator.context import Context
from alpenhorn.errors import IndexUnusable
from alpenhorn.extensions import points
from alpenhorn.extensions.detectors import required_arguments
from alpenhorn.extensions.points import exception_text
from alpenhorn.model.imports import Detected, ImportedFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code


class Callbacks:
    """The callbacks for the files of one search, by path."""

    def __init__(self, context: Context, node: NodeFact) -> None:
        self.context = context
        self.node = node
        self._waiting: dict[str, tuple[str, bytes]] = {}

    def keep(self, detected: Detected) -> None:
        if detected.callback:
            self._waiting[detected.found.path] = detected.by, detected.callback

    def wanted(self, paths: list[str]) -> dict[str, tuple[str, bytes]]:
        """Remove and return the callbacks of these paths, as (detector, callback)."""
        if not self._waiting:
            return {}
        return {path: self._waiting.pop(path) for path in paths if path in self._waiting}

    def call(self, wanted: dict[str, tuple[str, bytes]], imported: Iterable[ImportedFile]) -> None:
        for one in imported:
            by, callback = wanted[one.path]
            if by in self._withheld:
                self.context.report.warnings.add(
                    Code.DETECTOR_CALLBACK_WITHHELD(detector=by, why=self._withheld[by]),
                    one.path,
                )
            else:
                self._call(by, callback, one)

    def _call(self, by: str, callback: bytes, imported: ImportedFile) -> None:
        index = self.context.index
        try:
            # What a failed callback has written is rolled back.
            with index.transaction():
                function = pickle.loads(callback)
                if required_arguments(function) == 3:
                    function(imported, index, self.node)
                else:
                    function(imported, index)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            what = Code.DETECTOR_CALLBACK_FAILED(node=self.node.name, detector=by, why=exception_text(error))
            self.context.report.failures.add(what, imported.path)
            if isinstance(error, IndexUnusable):
                index.disconnect()
        # If it left a transaction open, later work would not be committed.
        if index.db.in_transaction():
            index.disconnect()

    @cached_property
    def _withheld(self) -> dict[str, str]:
        """Return the detectors whose packages' tables are missing or wrong, and why; these may not write."""
        faults = {
            one.package: f"its component {one.name}: {one.error}"
            for one in (plugins.on_index(self.context.index, found) for found in plugins.offered_components())
            if one.error
        }
        return {
            one.name: faults[one.dist.name]
            for one in points.offered(points.IMPORT_DETECT)
            if one.dist and one.dist.name in faults
        }
