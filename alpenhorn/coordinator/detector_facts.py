"""What packages read from the index for their import detectors, which run in workers and have no connection to it."""

from __future__ import annotations

import pickle

from alpenhorn.errors import IndexUnusable
from alpenhorn.extensions import points
from alpenhorn.extensions.detectors import not_callable
from alpenhorn.extensions.points import Plugin, exception_text
from alpenhorn.index.connection import Index
from alpenhorn.model.imports import DetectorFacts
from alpenhorn.reasons import Code


def detector_facts(index: Index) -> tuple[DetectorFacts, ...]:
    """Call the functions of all packages.  An error is returned with the facts, and concerns one detector only."""
    return tuple(
        DetectorFacts(plugin.name, error=plugin.error) if plugin.loaded is None else _read(index, plugin)
        for plugin in points.plugins(points.IMPORT_FACTS, not_callable)
    )


def _read(index: Index, plugin: Plugin) -> DetectorFacts:
    try:
        with index.glancing():
            return DetectorFacts(plugin.name, index.look(lambda: pickle.dumps(plugin.loaded(index))))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, IndexUnusable):
            index.disconnect()
        return DetectorFacts(plugin.name, error=Code.DETECTOR_FACTS_FAILED(why=exception_text(error)))
    finally:
        # If it left a transaction open, later work would not be committed.
        if index.db.in_transaction():
            index.disconnect()
