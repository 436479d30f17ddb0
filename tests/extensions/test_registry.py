"""Storage classes by name, from real packages in a directory on the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.extensions import points, registry
from alpenhorn.extensions.registry import group_io, node_io, remote_io
from alpenhorn.io.default import DefaultNode, DefaultRemote
from alpenhorn.model.nodes import GroupFact
from tests.plan.facts import node

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Install:
    """Put a package on the path, with the name of a storage class and the module that its entry point loads."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget() -> None:
        points.offered.cache_clear()
        registry._of_package.cache_clear()

    forget()
    request.addfinalizer(forget)

    def put(name: str, source: str) -> None:
        module = f"stranger_{name.lower()}_{abs(hash(str(tmp_path)))}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[alpenhorn.io]\n{name} = {module}:STORAGE\n")

    return put


WORKING = """
from alpenhorn.io.base import StorageClass
from alpenhorn.io.default import DefaultGroup, DefaultNode

class Ours(DefaultNode):
    pass

STORAGE = StorageClass(Ours, {group}, None)
"""


@pytest.mark.parametrize("name", [None, "", "Default"])
def test_without_a_name_it_is_default(name: str | None) -> None:
    assert isinstance(node_io(node(io_class=name)), DefaultNode)


def test_an_unknown_class_is_reported_with_the_known_ones() -> None:
    for unknown in ("Unheard", "default", "../x", "a b", "x:y"):
        with pytest.raises(StorageError, match="Default"):
            node_io(node(io_class=unknown))
        with pytest.raises(StorageError, match="no storage class"):
            group_io(GroupFact(1, "g", unknown, None), [])
        with pytest.raises(StorageError):
            remote_io(node(io_class=unknown))


def test_a_package_brings_a_class_of_its_own(install: Install) -> None:
    install("Ours", WORKING.format(group="DefaultGroup"))
    assert type(node_io(node(io_class="Ours"))).__name__ == "Ours"
    assert group_io(GroupFact(1, "g", "Ours", None), []).group.name == "g"
    assert isinstance(remote_io(node(io_class="Ours")), DefaultRemote)


def test_a_class_for_nodes_only_is_no_group(install: Install) -> None:
    install("Ours", WORKING.format(group="None"))
    with pytest.raises(StorageError, match="is for nodes only"):
        group_io(GroupFact(1, "g", "Ours", None), [])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_nobody_has", "a_module_that_nobody_has"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("STORAGE = (", "SyntaxError"),
        ("pass", "STORAGE"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("STORAGE = 'a string'", "not an alpenhorn.io.base.StorageClass"),
    ],
)
def test_a_package_that_fails_to_load_is_reported_with_the_reason(
    install: Install, source: str, reason: str
) -> None:
    install("Broken", source)
    with pytest.raises(StorageError, match="storage class Broken") as told:
        node_io(node(io_class="Broken"))
    assert reason in str(told.value)
    assert isinstance(node_io(node()), DefaultNode)
