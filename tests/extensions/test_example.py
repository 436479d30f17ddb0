"""The example package: pip installs it, and nothing in alpenhorn refers to its class."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

import alpenhorn
from alpenhorn.io.builtin import BUILT_IN
from tests.fixtures.packages import EXAMPLE

SOURCES = Path(alpenhorn.__file__).parent
NAMES = {*BUILT_IN, "Balanced"}
# Where a class is named outside of alpenhorn/io all the same, and why.
NAMED = {
    "extensions/registry.py": {"Default"},  # what a missing io_class means
    "model/nodes.py": set(BUILT_IN),  # needs no tape, as the index must know without the code of the classes
    "index/upgrade_plan.py": {"Transport"},  # what older releases wrote
}


def installed(example: Path) -> Distribution:
    (found,) = distributions(path=[str(example)])
    return found


def test_the_example_is_installed_by_pip_with_its_entry_points(example: Path) -> None:
    found = installed(example)
    assert (found.metadata["Name"], found.version) == ("alpenhorn-example", "1.2")
    assert (found.read_text("INSTALLER") or "").strip() == "pip"
    assert {point.group for point in found.entry_points} == {
        "alpenhorn.io",
        "alpenhorn.import_detect",
        "alpenhorn.index",
    }
    said = subprocess.run(
        [sys.executable, "-c", "import alpenhorn_example; print(alpenhorn_example.__file__)"],
        env={"PYTHONPATH": str(example)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(said.stdout.strip()).parent.parent == example
    assert EXAMPLE not in Path(said.stdout).parents


def uses(source: str) -> Iterator[str]:
    """Return the class names that appear as string literals in a source, except in `x or "Default"`."""
    tree = ast.parse(source)
    shown = {
        id(node.values[-1])
        for node in ast.walk(tree)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in NAMES and id(node) not in shown:
            yield str(node.value)


def test_only_the_package_io_refers_to_a_class_by_name() -> None:
    found = {
        str(path.relative_to(SOURCES)): names
        for path in SOURCES.rglob("*.py")
        if path.relative_to(SOURCES).parts[0] != "io" and (names := set(uses(path.read_text())))
    }
    assert found.items() <= NAMED.items()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('if node.io_class == "Transport": pass', ["Transport"]),
        ('WAYS = {"Balanced": 1}', ["Balanced"]),
        ('name = io_class or "Default"', []),
        ('"""As Default."""', []),
    ],
)
def test_a_reference_by_name_would_be_found(source: str, found: list[str]) -> None:
    assert list(uses(source)) == found
