"""What packages bring, all three points together: for `alpenhorn plugins`, `db init`, and what follows an import."""

from __future__ import annotations

from typing import Any

from alpenhorn.errors import AlpenhornError
from alpenhorn.extensions import detectors, points, registry
from alpenhorn.extensions.points import Plugin
from alpenhorn.index import components
from alpenhorn.index.check import Finding, Level
from alpenhorn.index.components import Component
from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code, Why, headed


def offered_components() -> list[Plugin]:
    """The components of packages, by their entry points' names."""
    found = points.plugins(points.INDEX, _fault)
    loaded = [one for one in found if one.loaded is not None]
    wrong = components.clashes([one.loaded for one in loaded])
    faults = {loaded[number]: Code.PLUGIN_COMPONENT_UNUSABLE(detail=why) for number, why in wrong.items()}
    return [one._replace(loaded=None, error=faults[one]) if one in faults else one for one in found]


def _fault(found: Any) -> Why:
    fault = components.fault(found)
    return Code.PLUGIN_COMPONENT_UNUSABLE(detail=fault) if fault else ""


def everything() -> list[Plugin]:
    """All that packages offer, loaded as far as it can be."""
    return [*registry.storage_classes(), *detectors.detectors(), *offered_components()]


def on_index(index: Index, plugin: Plugin) -> Plugin:
    """A component as it is on this index: with an error when its tables are not there, or not those."""
    if not isinstance(plugin.loaded, Component):
        return plugin
    try:
        found = components.obstacle(index, plugin.loaded)
        why: Why = Code.PLUGIN_COMPONENT_UNUSABLE(detail=found) if found else ""
    except AlpenhornError as error:
        why = error.reason
    return plugin._replace(loaded=None, error=why) if why else plugin


def findings(index: Index) -> list[Finding]:
    """The components of packages, for `db check`."""
    return [
        Finding(Level.WARN, headed(f"tables of {one.origin}", one.error))
        if one.error
        else Finding(Level.PASS, f"tables of {one.origin}: {one.loaded.name} {one.loaded.version}")
        for one in (on_index(index, found) for found in offered_components())
    ]
