"""Messages about files in the trash of nodes."""

from __future__ import annotations

from shlex import quote

from alpenhorn.cli import output
from alpenhorn.listings.trash import TrashedCopy, TrashTotal


def next_step(node: str, host: str | None, active: bool, one: bool = False) -> str:
    """Return when files are brought back from the trash of a node, or one is, as a sentence."""
    if not active or host is None:
        return f"No run works on the node; to activate it: alpenhorn node activate {quote(node)}"
    it, its, paths = ("it", "its", "path") if one else ("them", "their", "paths")
    return f"The next run on {host} moves {it} back, unless something is at {its} {paths}, and reads {it} in full."


def words(copy: TrashedCopy) -> str:
    """Describe a file in the trash: `deleted 2026-08-01 12:00:00, to be brought back`."""
    asked = ", to be brought back" if copy.asked is not None else ""
    return f"deleted {output.zoned(copy.deleted)}{asked}"


def total_words(total: TrashTotal | None) -> str | None:
    """Describe what is in the trash of a node: `3 files (1.00 GiB), the oldest deleted 2026-08-01 12:00:00`."""
    if total is None:
        return None
    files = output.count(total.files, "file")
    asked = f"; {total.asked} to be brought back" if total.asked else ""
    return f"{files} ({output.size(total.size_b)}), the oldest deleted {output.zoned(total.oldest)}{asked}"
