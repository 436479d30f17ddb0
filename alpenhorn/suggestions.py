"""Suggestions for a mistyped name."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with up to three known names that are similar to a wrong one; "" if none is similar."""
    from difflib import get_close_matches  # only needed for a wrong name

    close = " or ".join(repr(other) for other in get_close_matches(name, list(known)))
    return f"did you mean {close}?" if close else ""


def advice(name: str, known: Iterable[str], remedy: str) -> str:
    """Return advice about an unknown name: similar names, then what to do otherwise."""
    return f"{did_you_mean(name, known)} {remedy}".lstrip()
