"""Sizes and rates as people write them: a number with or without a unit, such as `500 GB`, `2TiB`, `64k`.

k, M, G, T, P, E and kB, MB, … are decimal; Ki, Mi, … and KiB, MiB, … are binary, as in the output.
"""

from __future__ import annotations

import re

KIB = 2**10
EXAMPLES = "500 GB, 2 TiB or 64k"

_SIZE = re.compile(
    r"\s*([0-9]{1,30})(?:\.([0-9]{1,12}))?\s*(?:([kmgtpe])(i?)b?|(b))?\s*", re.IGNORECASE | re.ASCII
)
_PREFIXES = "kmgtpe"


def parse(text: str, unit: int = 1) -> int | float:
    """Return bytes, an int if their number is whole.

    `unit`: bytes that a number without a unit counts.  Raises ValueError.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    whole, fraction, prefix, binary, byte = match.groups()
    factor = 1 if byte else unit
    if prefix:
        factor = (1024 if binary else 1000) ** (_PREFIXES.index(prefix.lower()) + 1)
    # In integers, since 4.35 * 100 is 434.99….
    fraction = fraction or ""
    divisor: int = 10 ** len(fraction)
    size, rest = divmod(int(whole + fraction) * factor, divisor)
    return size + rest / divisor if rest else size


def parse_rate(text: str) -> int | float:
    """Return bytes per second.  Raises ValueError, also for what may mean bits (`5 Mb`) or thousandths (`5m`)."""
    if set(text) & set("bmgtpe"):
        raise ValueError(text)
    return parse(text)


def parse_value(value: object, unit: int) -> int | None:
    """Return whole bytes for a value of JSON: a whole number of units, or a text; None if it is neither.

    `unit`: as for `parse`.
    """
    if type(value) is int and value >= 0:
        return value * unit
    if not isinstance(value, str):
        return None
    try:
        return int(parse(value, unit))
    except ValueError:
        return None
