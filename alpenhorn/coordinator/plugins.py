"""Components of installed packages, of all kinds: for `alpenhorn plugins`, `db init`, callbacks, and the connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpenhorn.coordinator.opening import connector_fault
from alpenhorn.errors import AlpenhornError
from alpenhorn.extensions import detectors, points, registry
from alpenhorn.extensions.points import Plugin
from alpenhorn.index import components
from alpenhorn.index.check import Finding, Level
from alpenhorn.index.components import Component
from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code, Why, headed


def offered_components() -> list[Plugin]:
    """Return the index components of installed packages, by the names of their entry points."""
    found = points.plugins(points.INDEX, _fault)
    loaded = [one for one in found if one.loaded is not None]
    wrong = components.clashes([one.loaded for one in loaded])
    faults = {loaded[number]: Code.PLUGIN_COMPONENT_UNUSABLE(detail=why) for number, why in wrong.items()}
    return [one._replace(loaded=None, error=faults[one]) if one in faults else one for one in found]


def _fault(found: Any) -> Why:
    fault = components.fault(found)
    return Code.PLUGIN_COMPONENT_UNUSABLE(detail=fault) if fault else ""


def _facts() -> Iterator[Plugin]:
    names = {one.name for one in points.offered(points.IMPORT_DETECT)}
    for one in points.plugins(points.IMPORT_FACTS, detectors.not_callable):
        lost = not one.error and one.name not in names
        yield one._replace(loaded=None, error=Code.PLUGIN_FACTS_OF_NO_DETECTOR()) if lost else one


def everything() -> list[Plugin]:
    """Return everything that installed packages provide, loaded as far as possible."""
    return [
        *registry.storage_classes(),
        *(one.plugin for one in detectors.detectors()),
        *_facts(),
        *offered_components(),
        *points.plugins(points.DATABASE, connector_fault),
    ]


def on_index(index: Index, plugin: Plugin) -> Plugin:
    """Check a component on this index; return it with an error if its tables are missing or wrong."""
    if not isinstance(plugin.loaded, Component):
        return plugin
    try:
        found = components.obstacle(index, plugin.loaded)
        why: Why = Code.PLUGIN_COMPONENT_UNUSABLE(detail=found) if found else ""
    except AlpenhornError as error:
        why = error.reason
    return plugin._replace(loaded=None, error=why) if why else plugin


def findings(index: Index) -> list[Finding]:
    """Return the findings about components of packages, for `db check`."""
    return [
        Finding(Level.WARN, headed(f"tables of {one.origin}", one.error))
        if one.error
        else Finding(Level.PASS, f"tables of {one.origin}: {one.loaded.name} {one.loaded.version}")
        for one in (on_index(index, found) for found in offered_components())
    ]
