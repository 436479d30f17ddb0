"""Find and load the plugins of installed packages, by their entry points.

An error while loading one must not affect the others; it is returned as a text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from alpenhorn.outside import text
from alpenhorn.reasons import Code, Why

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

IO = "alpenhorn.io"
IMPORT_DETECT = "alpenhorn.import_detect"
IMPORT_FACTS = "alpenhorn.import_facts"
INDEX = "alpenhorn.index"
DATABASE = "alpenhorn.database"


class Plugin(NamedTuple):
    """A plugin of a package.

    `value`: the name of the object.  `loaded`: the object, None if it cannot be used, for the reason `error`.
    """

    point: str
    name: str
    package: str
    version: str
    value: str
    loaded: Any = None
    error: Why = ""

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version} ({self.value})"


@cache
def offered(point: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, by name and package; looked up once per process."""
    from importlib.metadata import entry_points  # 25 ms, and most runs do not need it

    found = {(one.name, one.value, _package(one)): one for one in entry_points(group=point)}
    return tuple(found[key] for key in sorted(found))


def plugins(point: str, fault: Callable[[Any], Why]) -> list[Plugin]:
    """Load all plugins of a point, by name.  `fault`: returns why a loaded object is unusable, "" if it is not."""
    return [_plugin(point, one, fault) for one in offered(point)]


def named(point: str, name: str, fault: Callable[[Any], Why]) -> Plugin | None:
    """Load the plugin with that name; return None if there is none."""
    for one in offered(point):
        if one.name == name:
            return _plugin(point, one, fault)
    return None


def _plugin(point: str, one: EntryPoint, fault: Callable[[Any], Why]) -> Plugin:
    version = one.dist.version if one.dist else "-"
    found = Plugin(point, one.name, _package(one), version, one.value)
    others = [other for other in offered(point) if other.name == one.name and other is not one]
    if others:
        also = ", ".join(sorted({_package(other) for other in others}))
        return found._replace(error=Code.PLUGIN_NAME_TAKEN(others=also))
    try:
        loaded = one.load()
        error = fault(loaded)
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        return found._replace(error=Code.PLUGIN_NOT_LOADED(why=exception_text(raised)))
    return found._replace(error=error) if error else found._replace(loaded=loaded)


def exception_text(error: BaseException) -> str:
    """Return the text of a package's exception, whose repr may itself fail, in one line."""
    try:
        return text(repr(error))
    except BaseException:
        return type(error).__name__


def _package(one: EntryPoint) -> str:
    return one.dist.name if one.dist else "an unknown package"
