"""The manifests that a run must write or compare; a separate module, because an idle run loads no more."""

from __future__ import annotations

import os
from collections.abc import Mapping

from alpenhorn.coordinator.context import Context
from alpenhorn.io.base import TapeNode
from alpenhorn.scan import manifest as scan

# Events of other nodes that runs may scan again; beyond that the position is saved.
MOST_PASSED = 1000
# Copies that a run counts on average, on all nodes together: a count shows changes that have no event.
COUNTED = 200_000
# Entries that a run writes on average.  Rewriting a large manifest for a few new files would take longer than the
# files.
WRITTEN = 50_000
ANEW = -1  # number of copies in a manifest that must be written again


def tokens(context: Context, found: Mapping[int, str]) -> dict[int, str]:
    """Return the tokens of the nodes that have a manifest.  `found`: the token found on each node, "" for none.

    Nodes with tape have none by default: the file could leave the disk, and runs that read it would wait for the tape.
    """
    return {
        node_id: found[node_id]
        for node_id, io in context.ios.items()
        if context.asked.manifest
        or found[node_id]
        or context.node(node_id).manifest
        or not isinstance(io, TapeNode)
    }


def fresh(context: Context, found: Mapping[int, str]) -> set[int]:
    """Return the nodes that never had a manifest, which get one without a comparison with the index.

    So the first run on a large archive is fast.  Media that are carried between hosts are always compared.
    """
    without = [
        node_id
        for node_id, token in found.items()
        if not token and context.node(node_id).manifest is None and not context.travels(node_id)
    ]
    return set(without).difference(scan.kept(context.index, without)) if without else set()


def uncertain(context: Context, found: Mapping[int, str]) -> bool:
    """Return whether a node must be compared with the index before anything else is done on it."""
    unknown = {node_id for node_id, token in found.items() if context.node(node_id).manifest != token}
    return bool(unknown and unknown - fresh(context, found))


def due(context: Context, found: Mapping[int, str]) -> set[int]:
    """Return the nodes whose manifests must be written now."""
    index = context.index
    kept = scan.kept(index, list(found))
    total = sum(one.files for one in kept.values())
    counted = _now_and_then(total // COUNTED)
    wanted = set()
    for node_id in found:
        one = kept.get(node_id)
        if one is None:
            stale = scan.has_good(index, node_id)
        elif one.files == ANEW or one.touched:
            stale = context.travels(node_id) or _now_and_then(one.files // WRITTEN)
        else:
            stale = counted and scan.count(index, node_id) != one.files
            if not stale and one.latest - one.event_id > MOST_PASSED:
                from alpenhorn.record.manifest import seen  # one run in many needs it

                seen(index, node_id, one.latest)
        if stale:
            wanted.add(node_id)
    return wanted


def _now_and_then(others: int) -> bool:
    """Return True once in `others` + 1 times.

    By chance, since the numbers of one host's runs may all be odd.
    """
    return int.from_bytes(os.urandom(8), "big") % (1 + max(0, others)) == 0
