"""Sizes in bytes, formatted for people."""

from __future__ import annotations

UNITS = ("B", "kiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(bytes_: int | float | None) -> str:
    """Format bytes in a fitting binary unit, such as `10.00 kiB`; `-` if unknown."""
    if bytes_ is None:
        return "-"
    if abs(bytes_) < 1024:
        return f"{int(bytes_)} B"
    value = float(bytes_)
    for unit in UNITS:
        # 1023.995 would be rounded to "1024.00".
        if abs(value) < 1023.995 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.2f} {unit}"
