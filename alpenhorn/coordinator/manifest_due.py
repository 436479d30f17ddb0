"""Which manifests a run has to look after: asked in every run, so that an idle one needs no more than this."""

from __future__ import annotations

import os
from collections.abc import Mapping

from alpenhorn.coordinator.context import Context
from alpenhorn.io.base import TapeNode
from alpenhorn.scan import manifest as scan

# Events of other nodes that are looked through in every run; beyond that it is written down that they were.
MOST_PASSED = 1000
# Copies that a run counts on its nodes together, on average: a count shows what was done by hand.
COUNTED = 200_000
# Entries of an ordinary node's manifest that a run writes, on average.  All of a large one for a few new files in
# each run would take longer than the files.
WRITTEN = 50_000
ANEW = -1  # copies of which no manifest tells


def tokens(context: Context, found: Mapping[int, str]) -> dict[int, str]:
    """`found`: the token of the manifest on each node, "" for none; returned for the nodes that are to have one.

    Not those with tape behind them, unless there is one: the file might leave the disk as any other, and the run that
    looks at it would wait for the tape.
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
    """The nodes that never had a manifest, which get one without being compared with the index first.

    So the first run on a large archive that had none looks at no file for it.  Disks that travel are compared: they
    were out of sight.
    """
    without = [
        node_id
        for node_id, token in found.items()
        if not token and context.node(node_id).manifest is None and not context.travels(node_id)
    ]
    return set(without).difference(scan.kept(context.index, without)) if without else set()


def uncertain(context: Context, found: Mapping[int, str]) -> bool:
    """Whether a node has to be compared with the index before anything else is done on it."""
    unknown = {node_id for node_id, token in found.items() if context.node(node_id).manifest != token}
    return bool(unknown and unknown - fresh(context, found))


def due(context: Context, found: Mapping[int, str]) -> set[int]:
    """The nodes whose manifests are to be written now."""
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
    """True once in `others` + 1 times, by chance: the numbers of one host's runs may be all odd."""
    return int.from_bytes(os.urandom(8), "big") % (1 + max(0, others)) == 0
