"""The settings that the manual names are those that the storage classes accept, with those defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from alpenhorn.io.base import Node, WrongSettings
from alpenhorn.io.builtin import BUILT_IN, built_in
from alpenhorn.model.nodes import GroupFact
from tests.fixtures import manual
from tests.plan.facts import node as node_fact

REQUIRED, NONE = "required", "none"
GROUP = GroupFact(20, "g", None, None)
WRONG: list[Any] = []  # what no setting may be
GIVEN: dict[str, Any] = {
    "quota_id": "science",
    "quota_type": "group",
    "headroom": 1000,
    "remote": "store:place",
}
OTHER = {
    "method": "rsync",
    "lfs": "my-lfs",
    "rclone": "my-rclone",
    "verify": "read",
    "space": "about",
}
OUT_OF_DATE = {"quota_group"}


class Row(NamedTuple):
    setting: str
    unit: str
    default: str

    @property
    def value(self) -> Any:
        """Return the default in the form of io_config."""
        if self.default.startswith("`"):
            return self.default.strip("`")
        return int(self.default)


class Recording(dict[str, Any]):
    """Settings that record which of them were read."""

    def __init__(self, values: Mapping[str, Any] = GIVEN) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)


def section(name: str) -> str:
    return manual.section(manual.page("storage-classes"), name)


def rows(name: str, heading: str) -> list[Row]:
    """Return the rows of the table with this name of the first column; empty without such a table."""
    table = section(name).partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:])
    return [Row(setting.strip("`"), unit, default) for setting, unit, default, _ in cells]


def of_node(name: str) -> list[Row]:
    """Return the settings of the class, including those of the class that it extends."""
    other = re.search(r"are\s+those\s+of\s+(\w+),\s+plus:", section(name))
    return (of_node(other[1]) if other else []) + rows(name, "setting")


def of_group(name: str) -> list[Row]:
    return rows(name, "setting of the group")


def classes(part: str) -> list[str]:
    return [name for name in BUILT_IN if getattr(built_in(name), part) is not None]


def both() -> Iterator[tuple[str, str, Row]]:
    """Yield every row: the class, "node" or "group", and the row."""
    for name in BUILT_IN:
        cls = built_in(name)
        yield from ((name, "node", row) for row in (of_node(name) if cls.node else ()))
        yield from ((name, "group", row) for row in (of_group(name) if cls.group else ()))


def use(name: str, part: str, settings: Mapping[str, Any]) -> Node | None:
    """Raises WrongSettings."""
    cls = built_in(name)
    if part == "node":
        assert cls.node is not None
        return cls.node(node_fact(), settings)
    assert cls.group is not None
    cls.group.check_settings(GROUP, settings)
    return None


def seen(node: Node) -> dict[str, Any]:
    """Return the attributes of a node that depend on its settings."""
    properties = {
        key: getattr(node, key)
        for cls in type(node).__mro__
        for key, value in vars(cls).items()
        if isinstance(value, property)
    }
    found = {**vars(node), **properties, "reserved_bytes": node.reserved_bytes(1000)}
    return {key: value for key, value in found.items() if key not in ("settings", "warnings")}


def without(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != key}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_class_has_a_section(name: str) -> None:
    assert section(name)


@pytest.mark.parametrize("name", classes("node"))
def test_a_node_looks_at_the_settings_that_the_manual_names_and_at_no_others(name: str) -> None:
    settings = Recording()
    seen(built_in(name).node(node_fact(), settings))  # type: ignore[misc]
    assert settings.asked - OUT_OF_DATE == {row.setting for row in of_node(name)}
    assert settings.asked == built_in(name).node.known  # type: ignore[union-attr]


@pytest.mark.parametrize("name", classes("group"))
def test_a_group_looks_at_the_settings_that_the_manual_names_and_at_no_others(name: str) -> None:
    settings = Recording({})
    use(name, "group", settings)
    assert settings.asked == {row.setting for row in of_group(name)}
    assert settings.asked == built_in(name).group.known  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "part", "row"), list(both()))
def test_a_setting_with_a_wrong_value_is_refused_and_named(name: str, part: str, row: Row) -> None:
    with pytest.raises(WrongSettings, match=rf"\b{row.setting}\b") as told:
        use(name, part, {**GIVEN, row.setting: WRONG})
    assert f"--io-var {row.setting}=VALUE" in str(told.value)


@pytest.mark.parametrize(("name", "part", "row"), list(both()))
def test_only_the_documented_settings_are_required(name: str, part: str, row: Row) -> None:
    settings = without(GIVEN, row.setting)
    if row.default == REQUIRED:
        with pytest.raises(WrongSettings, match=f": {row.setting} is missing"):
            use(name, part, settings)
    else:
        use(name, part, settings)


@pytest.mark.parametrize(
    ("name", "part", "row"), [one for one in both() if one[2].default not in (REQUIRED, NONE)]
)
def test_the_documented_default_applies_without_the_setting(name: str, part: str, row: Row) -> None:
    given = use(name, part, {**GIVEN, row.setting: row.value})
    left_out = use(name, part, GIVEN)
    if given is None or left_out is None:
        return
    assert seen(given) == seen(left_out)
    # Another value makes a difference that is seen.
    other = OTHER.get(row.setting) or row.value + 1
    changed = use(name, part, {**GIVEN, row.setting: other})
    assert changed is not None and seen(changed) != seen(left_out)


def test_the_tables_are_read() -> None:
    assert [row.setting for row in of_node("Default")] == ["reserve_factor", "jobs", "method", "bwlimit"]
    assert Row("lfs_timeout", "s", "60") in of_node("LustreQuota")
    assert len(of_node("LustreQuota")) == len(of_node("Default")) + 5
    assert of_node("LustreQuota")[:4] == of_node("Default")
    assert [row.default for row in of_group("LustreHSM")] == ["1000000000"]
