"""What installed packages offer at the extension points, found by their entry points and loaded one by one.

Whatever a stranger's package does when it is loaded must not stop the rest: it becomes a text that says why.
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
INDEX = "alpenhorn.index"


class Plugin(NamedTuple):
    """What a package offers: `value` names the object, `loaded` is it, None when it cannot be used for the reason
    `error`."""

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
    """The entry points of a group by name, each package's.  They are looked up once in a process."""
    from importlib.metadata import entry_points  # 25 ms, and most runs never ask

    found = {(one.name, one.value, _package(one)): one for one in entry_points(group=point)}
    return tuple(found[key] for key in sorted(found))


def plugins(point: str, fault: Callable[[Any], Why]) -> list[Plugin]:
    """Load all that is offered at a point, by name.  `fault`: why a loaded object is of no use, "" when it is."""
    return [_plugin(point, one, fault) for one in offered(point)]


def named(point: str, name: str, fault: Callable[[Any], Why]) -> Plugin | None:
    """Load what is offered by that name; None when nothing is."""
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
        return found._replace(error=Code.PLUGIN_NOT_LOADED(why=in_words(raised)))
    return found._replace(error=error) if error else found._replace(loaded=loaded)


def in_words(error: BaseException) -> str:
    """An exception of a stranger's, whose text may itself be broken, in one line."""
    try:
        return text(repr(error))
    except BaseException:
        return type(error).__name__


def _package(one: EntryPoint) -> str:
    return one.dist.name if one.dist else "an unknown package"
