"""Each class of the package has a name of its own, so that a search for the name finds one meaning."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.fixtures.repository import CHECKOUT

REQUIRED = {"Meta"}  # peewee reads the options of a model from a class with this name


def test_no_public_class_name_is_defined_twice() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for path in sorted((CHECKOUT / "alpenhorn").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(f"{path.relative_to(CHECKOUT)}:{node.lineno}")
    twice = {name: places for name, places in defined.items() if len(places) > 1}
    assert len(defined) > 100 and twice.keys() >= REQUIRED
    assert twice.keys() == REQUIRED, twice
