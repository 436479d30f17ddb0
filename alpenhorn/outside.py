"""The doors for text from outside: what programs, file systems and extensions say, JSON that others wrote, and on the
way out whatever is printed or logged.

Python keeps bytes that are not UTF-8 as lone surrogates, which neither a database nor a log can store.  One such byte
in a message must not end a run.  Names may hold what moves a terminal's cursor, forges a line or turns the direction of
reading, and are never printed as they are.
"""

from __future__ import annotations

from typing import Any

UNREADABLE = (
    "\0unreadable"  # in place of a name in the index that is no text; no file and no row is called that
)
MOST = 4000  # characters; a TEXT column of MariaDB holds 65,535 bytes


def text(said: str | bytes, most: int = MOST) -> str:
    """Return `said` as text that can be encoded in UTF-8, with what cannot shown as `\\xe9`, and no longer than `most`
    characters.

    What is fit already is returned as it is, so that a reason keeps its code.
    """
    if isinstance(said, str) and len(said) <= most and "\0" not in said and encodable(said):
        return said
    if isinstance(said, str):
        # Only a part of it: an exception may carry a whole file.
        said = _bytes(said[: 2 * most])
    shown = said.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    if len(shown) > most:
        shown = f"{shown[: most - 1]}…"
    return shown


def encodable(text: str) -> bool:
    """Whether `text` can be written as UTF-8: not when it is a file name that is not."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace")


def exception(error: BaseException) -> str:
    """Name the type of an exception of any kind, and say what it says; its text may itself be broken."""
    kind = type(error).__name__
    try:
        said = text(str(error))
    except Exception:
        return kind
    return f"{kind}: {said}" if said else kind


def parsed(document: str | bytes) -> Any:
    """Return what a JSON document means.  Raises ValueError for whatever is wrong with it."""
    import json  # help and --version do without

    try:
        return json.loads(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except TypeError as error:  # it is no text at all
        raise ValueError(str(error)) from None


def harmless(text: str) -> str:
    """Return `text` with all that is not printable escaped as in a Python string: control characters, line ends, marks
    of direction, surrogates."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
