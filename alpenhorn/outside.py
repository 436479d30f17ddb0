"""Text from outside (programs, file systems, extensions, JSON) made safe to store, print and log.

Python keeps bytes that are not UTF-8 as lone surrogates, which neither a database nor a log can store; one
such byte in a message must not end a run.  Names may contain characters that move a terminal's cursor, forge
a line or change the text direction; they are never printed unescaped.
"""

from __future__ import annotations

from typing import Any

UNREADABLE = "\0unreadable"  # replaces a name in the index that is not text; no file or row has this name
MOST = 4000  # characters; a TEXT column of MariaDB holds 65,535 bytes


def text(said: str | bytes, most: int = MOST) -> str:
    """Return `said` as text that can be encoded in UTF-8, with other bytes shown as `\\xe9`, cut to `most` characters.

    Valid text is returned unchanged, so that a reason keeps its code.
    """
    if isinstance(said, str) and len(said) <= most and "\0" not in said and encodable(said):
        return said
    if isinstance(said, str):
        # Cut first: an exception may contain a whole file.
        said = _bytes(said[: 2 * most])
    shown = said.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    if len(shown) > most:
        shown = f"{shown[: most - 1]}…"
    return shown


def encodable(text: str) -> bool:
    """Return whether `text` can be encoded in UTF-8, unlike file names with other bytes."""
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
    except UnicodeEncodeError:  # a surrogate that represents no byte
        return text.encode("utf-8", "backslashreplace")


def exception(error: BaseException) -> str:
    """Return type and text of any exception; its text may itself be broken."""
    kind = type(error).__name__
    try:
        said = text(str(error))
    except Exception:
        return kind
    return f"{kind}: {said}" if said else kind


def parsed(document: str | bytes) -> Any:
    """Parse a JSON document.  Raises ValueError for any fault."""
    import json  # help and --version do not need it

    try:
        return json.loads(document)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except TypeError as error:  # it is not text
        raise ValueError(str(error)) from None


def harmless(text: str) -> str:
    """Return `text` with all unprintable characters escaped as in a Python string: control characters, line
    ends, direction marks, surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
