"""Parameter types for new names, texts, sizes and checksums.

A value that cannot be stored, shown or used safely is rejected as a usage error before the index is opened.
"""

from __future__ import annotations

from typing import Any

import click

MOST_GIB = 1e15  # fits a FLOAT column, and exceeds any real storage
MOST_COUNT = 2**31 - 1
MOST_BYTES = 2**63 - 1  # the maximum of a BIGINT column


def text_problem(text: str, length: int, *, lines: bool = False) -> str:
    """Return why a text cannot be stored in a column of `length` characters; empty if it can."""
    if len(text) > length:
        return f"too long: {len(text)} characters; at most {length} are allowed"
    for char in text:
        if "\ud800" <= char <= "\udfff":
            return "not valid UTF-8"
        if (ord(char) < 32 or 127 <= ord(char) < 160) and not (lines and char in "\n\t"):
            return f"contains the control character {char!a}"
    return ""


class NewName(click.ParamType[str]):
    """The name of a new host, group or node; it must be usable as a path element and as a line of a file."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = text_problem(text, 64)
        if not text.strip():
            wrong = "empty"
        elif text != text.strip():
            wrong = "begins or ends with a space"
        elif "/" in text:
            wrong = "contains a slash"
        elif text in (".", ".."):
            wrong = "not allowed as a name"
        if wrong:
            self.fail(f"name {text!a}: {wrong}", param, ctx)
        return text


class Text(click.ParamType[str]):
    """A value for a text column; an empty one clears the column."""

    name = "text"

    def __init__(self, length: int, lines: bool = False) -> None:
        self.length = length
        self.lines = lines

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = text_problem(text, self.length, lines=self.lines)
        if wrong:
            self.fail(f"{text[:40]!a}: {wrong}", param, ctx)
        return text


class SiteName(NewName):
    """The name of a site, or an empty text."""

    name = "site"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value, param, ctx) if value else ""


class RootPath(Text):
    """The absolute path of a directory, or an empty text."""

    name = "root"

    def __init__(self) -> None:
        super().__init__(255)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not text:
            return text
        if not text.startswith("/"):
            self.fail(f"{text!a}: not an absolute path; a root begins with /", param, ctx)
        elements = [element for element in text.split("/") if element]
        if "." in elements or ".." in elements:
            self.fail(f"{text!a}: contains a . or .. element; give the plain path", param, ctx)
        return "/" + "/".join(elements)


class Size(click.ParamType[float]):
    """A size in bytes, given with any unit; at least 0, or above 0 if `positive`.

    `unit`: bytes that a number without a unit counts.  The value is an int if `unit` is 1.
    """

    name = "size"

    def __init__(self, unit: int = 1, positive: bool = False) -> None:
        self.unit = unit
        self.positive = positive
        # A FLOAT column of GiB, which exceeds any real storage, or a BIGINT column.
        self.most = MOST_BYTES if unit == 1 else MOST_GIB * unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from alpenhorn import sizes  # a few options need it

        plain = "bytes" if self.unit == 1 else "GiB"
        try:
            size = sizes.parse(str(value), self.unit)
        except ValueError:
            self.fail(
                f"{str(value)[:80]!a}: not a size; give a number of {plain}, or for example {sizes.EXAMPLES}",
                param,
                ctx,
            )
        if self.unit == 1 and size != int(size):
            self.fail(f"{value!a}: not a whole number of bytes", param, ctx)
        if size > self.most or (self.positive and not size):
            least = "above 0" if self.positive else "0 or more"
            self.fail(
                f"{value!a}: out of range; must be {least}, and at most {self.most:g} bytes", param, ctx
            )
        return size


class Md5Sum(click.ParamType[str]):
    """An MD5 sum, converted to lower case."""

    name = "md5"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from alpenhorn.plan.paths import MD5  # 14 ms, and only an option of `file` commands needs it

        text = str(value)
        if not MD5.fullmatch(text):
            self.fail(f"{text[:80]!a}: not an MD5 sum (32 hexadecimal digits)", param, ctx)
        return text.lower()


NAME = NewName()
NOTES = Text(65535 // 4, lines=True)  # a TEXT column of MariaDB holds 65535 bytes
REQUEST_ID = click.IntRange(1, 2**63 - 1)
PRIORITY = click.IntRange(-1000, 1000)
