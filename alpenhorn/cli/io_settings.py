"""Check storage classes and their settings before they are stored.

A class that is not installed on this host is rejected, even for a node of another host: it cannot be told from a
misspelt name, and every host that pulls from the node needs the class.  Limits on the nodes of a group are not checked
here, because the nodes of a group change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpenhorn.cli import output
from alpenhorn.edits.rows import TextEdit
from alpenhorn.errors import Refused, StorageError
from alpenhorn.extensions.registry import check_group, node_io, storage_class
from alpenhorn.io.base import Group, Node, WrongSettings, parse_settings
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.suggestions import advice


def require(kind: str, name: str, io_class: str | None, io_config: str | None) -> None:
    """Raise Refused for an unknown class or wrong settings, and print warnings.  `kind` is node or group."""
    try:
        warnings = _checked(kind, name, io_class, io_config)
    except StorageError as error:
        raise Refused(f"{_remedied(error, io_class)}; nothing was changed") from error
    for warning in warnings:
        output.warning(warning)


def note_problems(kind: str, name: str, io_class: str | None, io_config: str | None) -> None:
    """Print a note about each problem with existing settings."""
    try:
        warnings = _checked(kind, name, io_class, io_config)
    except StorageError as error:
        warnings = (str(error),)
    for warning in warnings:
        output.warning(warning)


def edits(
    kind: str, name: str, values: Mapping[str, str | None], config: Mapping[str, TextEdit]
) -> dict[str, TextEdit]:
    """Return edits of the columns io_class and io_config that apply `values` and `config`, and raise as `require` does.

    Both columns are read under the row's lock, so that the values checked are the values stored.
    """
    if "io_class" not in values and not config:
        return {}
    was: dict[str, str | None] = {}

    def of_class(before: str | None) -> str | None:
        was["class"], was["new"] = before, values.get("io_class", before)
        return was["new"]

    def of_config(before: str | None) -> str | None:
        after = config["io_config"](before) if config else before
        if (was["class"], before) != (was["new"], after):
            require(kind, name, was["new"], after)
        return after

    return {"io_class": of_class, "io_config": of_config}


def _checked(kind: str, name: str, io_class: str | None, io_config: str | None) -> Sequence[str]:
    """Return warnings.  Raises StorageError."""
    if kind == "group":
        check_group(GroupFact(0, name, io_class, io_config))
        return _unknown(kind, name, storage_class(io_class).group, io_config)
    node = node_io(
        NodeFact(
            id=0,
            name=name,
            root=None,
            group_id=0,
            host=None,
            username=None,
            address=None,
            active=False,
            archive=False,
            io_class=io_class,
            io_config=io_config,
            max_total_gb=None,
            min_avail_gb=0.0,
            avail_gb=None,
        )
    )
    return (*node.warnings, *_unknown(kind, name, type(node), io_config))


def _unknown(
    kind: str, name: str, cls: type[Node] | type[Group] | None, io_config: str | None
) -> tuple[str, ...]:
    """Return a warning for each setting that the class does not know; another program may have stored it."""
    if cls is None or cls.known is None:
        return ()
    given = parse_settings(f"{kind} {name}", io_config)
    return tuple(
        f"{kind} {name}: unknown setting {key!r} in io_config; "
        + advice(key, cls.known, f"to remove it: alpenhorn {kind} modify {name} --io-var {key}=")
        for key in sorted(given.keys() - cls.known)
    )


def _remedied(error: StorageError, io_class: str | None) -> str:
    if isinstance(error, WrongSettings):
        return f"{error.fault}; give it with {error.option}"
    try:
        storage_class(io_class)
    except StorageError:
        return f"{error} on this host, or run this command on a host that has it"
    return f"{error}; choose another one with --class"
