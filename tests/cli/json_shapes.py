"""The shapes of JSON documents as the manual writes them, and whether a document has one.

text int number bool time any   a value; `time` is a text like 2026-07-22T10:00:00Z
T|null                          a T, or null
[T]                             an array of T
{key: T, other?: U, NAME, *: V} an object; `other` need not be there; NAME: all keys of that shape; *: any keys
NAME                            the shape defined by a line that begins with NAME
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(r"\s*([A-Z]{2,}|[a-z_0-9*]+|[][{}:?,|])")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PLAIN = {
    "text": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "time": lambda value: isinstance(value, str) and TIME.fullmatch(value) is not None,
    "any": lambda value: value is not None,
}

# A parsed shape: ("plain", name), ("null", shape), ("array", shape), ("object", {key: (optional, shape)})
Shape = tuple[str, Any]


class Shapes:
    """`named`: each line's name, a command with options or a NAME, to its shape."""

    def __init__(self, text: str) -> None:
        self.named: dict[str, Shape] = {}
        for entry in re.split(r"\n(?=\S)", text.strip()):
            head = re.match(r"(.*?)\s+([\[{].*)", entry, re.DOTALL)
            assert head, entry
            self._tokens = TOKEN.findall(head[2])
            assert re.sub(r"\s", "", head[2]) == "".join(self._tokens), f"not a shape: {head[2]}"
            self.named[head[1]] = self._shape()
            assert not self._tokens, f"{head[1]}: what is {self._tokens}?"

    def _shape(self) -> Shape:
        token = self._tokens.pop(0)
        if token == "[":
            shape: Shape = ("array", self._shape())
            self._take("]")
        elif token == "{":
            shape = ("object", self._keys())
        elif token in PLAIN:
            shape = ("plain", token)
        else:
            shape = self.named[token]
        if self._tokens[:1] == ["|"]:
            self._take("|")
            self._take("null")
            return ("null", shape)
        return shape

    def _keys(self) -> dict[str, tuple[bool, Shape]]:
        keys: dict[str, tuple[bool, Shape]] = {}
        while True:
            key = self._tokens.pop(0)
            if key.isupper():
                keys |= self.named[key][1]
            else:
                optional = self._tokens[0] == "?"
                if optional:
                    self._take("?")
                self._take(":")
                keys[key] = (optional, self._shape())
            if self._tokens[0] == "}":
                self._take("}")
                return keys
            self._take(",")

    def _take(self, token: str) -> None:
        found = self._tokens.pop(0)
        assert found == token, f"{found} where {token} should be"


def leaves(shape: Shape, at: str = "") -> Iterator[str]:
    """Every place in a shape that holds a value, such as `[].stats?.full`."""
    kind, inner = shape
    if kind == "null":
        yield from leaves(inner, at)
    elif kind == "array":
        yield from leaves(inner, f"{at}[]")
    elif kind == "object":
        for key, (optional, value) in inner.items():
            yield from leaves(value, f"{at}.{key}{'?' * optional}")
    else:
        yield at


def faults(shape: Shape, value: Any, seen: set[str], at: str = "") -> Iterator[str]:
    """Where a value has not that shape; places with a value, and keys that are not there (`-`), go into `seen`."""
    kind, inner = shape
    if kind == "null":
        if value is not None:
            yield from faults(inner, value, seen, at)
    elif kind == "array":
        if not isinstance(value, list):
            yield f"{at}: {value!r} is no array"
            return
        for element in value:
            yield from faults(inner, element, seen, f"{at}[]")
    elif kind == "object":
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no object"
            return
        yield from _faults_of_keys(inner, value, seen, at)
    else:
        seen.add(at)
        if not PLAIN[inner](value):
            yield f"{at}: {value!r} is not {inner}"


def _faults_of_keys(
    keys: dict[str, tuple[bool, Shape]], value: dict[str, Any], seen: set[str], at: str
) -> Iterator[str]:
    for key, (optional, shape) in keys.items():
        here = f"{at}.{key}{'?' * optional}"
        if key == "*":
            for element in value.values():
                yield from faults(shape, element, seen, here)
        elif key in value:
            yield from faults(shape, value[key], seen, here)
        elif optional:
            seen.add(f"{here} -")
        else:
            yield f"{here}: is not there"
    if "*" not in keys:
        yield from (f"{at}.{key}: is not documented" for key in value if key not in keys)
