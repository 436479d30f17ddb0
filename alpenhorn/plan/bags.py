"""Which names a bag can hold (BagIt 0.97, the version that the package bagit writes)."""

from __future__ import annotations

# The package decodes no more of each in a manifest.
MOST_BREAKS = 2


def name_fault(path: str) -> str:
    """Return why the manifest of a bag cannot hold a path, "" if it can.

    A manifest is UTF-8 with a line for each file.  Line feeds and carriage returns are encoded as %0A and %0D, and
    nothing else is, so that a name that has these characters itself would be read as another one.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return "not in UTF-8"
    if "%0A" in path or "%0D" in path:
        return "contains %0A or %0D"
    if path.count("\n") > MOST_BREAKS or path.count("\r") > MOST_BREAKS:
        return f"contains more than {MOST_BREAKS} line breaks"
    line = path.replace("\r", "%0D").replace("\n", "%0A")
    if len(line.splitlines()) > 1:
        return "contains a separator of lines, such as U+2028"
    return "ends with a blank" if line != line.rstrip() else ""
