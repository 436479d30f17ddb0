"""What detectors want called once a file is in the index: in the parent, each once at most, and never in the way.

A callback is called after the file was recorded and committed.  When the run is killed in between it is not called
any more, by no run: the file is there and is no new one.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from functools import cached_property

from alpenhorn.coordinator import plugins
from alpenhorn.coordinator.context import Context
from alpenhorn.errors import IndexUnusable
from alpenhorn.extensions import points
from alpenhorn.extensions.points import exception_text
from alpenhorn.model.imports import Detected, ImportedFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code


class Callbacks:
    """Those of the files of one search, by path."""

    def __init__(self, context: Context, node: NodeFact) -> None:
        self.context = context
        self.node = node
        self._waiting: dict[str, tuple[str, bytes]] = {}

    def keep(self, detected: Detected) -> None:
        if detected.callback:
            self._waiting[detected.found.path] = detected.by, detected.callback

    def wanted(self, paths: list[str]) -> dict[str, tuple[str, bytes]]:
        """Those of these paths (detector, callback), which are then no longer kept."""
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
            # All or nothing of what it writes.
            with index.transaction():
                pickle.loads(callback)(imported, index)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            what = Code.DETECTOR_CALLBACK_FAILED(node=self.node.name, detector=by, why=exception_text(error))
            self.context.report.failures.add(what, imported.path)
            if isinstance(error, IndexUnusable):
                index.disconnect()
        # In one that it left open nothing that follows would be committed.
        if index.db.in_transaction():
            index.disconnect()

    @cached_property
    def _withheld(self) -> dict[str, str]:
        """The detectors whose packages' tables are not there, or not those, and why: they must write to none."""
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
