"""Rules for retirements: which files of a retired node are requested elsewhere, from where, and into which groups.

A file is requested until as many good copies as wanted are on archive nodes that are active and not retired.  A medium
that is only away for now counts here, unlike for deletions: otherwise everything on it would be copied once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alpenhorn.formats import count
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import RetiringFile
from alpenhorn.reasons import Code, Why


class RetirementDecision(NamedTuple):
    """The decision for a file.

    `source_id` and `group_ids`: the requests to create, none if there are no groups.  `pending`: requests are pending
    already.  `why`: the reason if a copy is still missing after that, "" if not.
    """

    source_id: int = 0
    group_ids: tuple[int, ...] = ()
    pending: bool = False
    why: Why = ""


class RetirementPlanner:
    """Decides about the files of one retired node.

    `nodes`: all, by id; `groups`: ids of the groups into which its files may be copied, in the order of their use;
    `minimum`: number of good copies that must be elsewhere.
    """

    def __init__(
        self, node_id: int, nodes: Mapping[int, NodeFact], groups: Sequence[int], minimum: int
    ) -> None:
        self.node_id = node_id
        self.nodes = nodes
        self.groups = groups
        self.minimum = max(minimum, 1)
        self.counting = {id for id, node in nodes.items() if id != node_id and node.keeps}
        self._receiving = {nodes[id].group_id for id in self.counting}
        self._taking = {id for id, node in nodes.items() if id != node_id and not node.retired}

    def decide(self, file: RetiringFile) -> RetirementDecision:
        good = {copy.node_id: copy for copy in file.elsewhere if copy.has_file == HasFile.YES}
        counted = [id for id, copy in good.items() if id in self.counting and copy.wants_file != WantsFile.NO]
        having = {self.nodes[id].group_id for id in good if id in self._taking}
        sources = {id for id in good if self._active(id)}
        if file.copy.has_file == HasFile.YES and self._active(self.node_id):
            sources.add(self.node_id)
        # A request whose source has no good copy brings nothing.
        coming = {
            one.group_id
            for one in file.requests
            if one.source_id in sources and one.group_id in self._receiving - having
        }
        needed = self.minimum - len(counted) - len(coming)
        if needed <= 0:
            return RetirementDecision(pending=bool(coming))
        if not sources:
            return RetirementDecision(why=self._without_source(file, list(good)))
        chosen = [id for id in self.groups if id in self._receiving and id not in having | coming][:needed]
        why: Why = ""
        if len(chosen) < needed:
            why = Code.RETIREMENT_NEEDS_GROUP(copies=count(needed - len(chosen), "copy", "copies"))
        return RetirementDecision(min(sources, key=self._rank), tuple(chosen), bool(coming), why)

    def _active(self, node_id: int) -> bool:
        return node_id in self.nodes and self.nodes[node_id].active

    def _rank(self, node_id: int) -> tuple[bool, bool, int]:
        """The order of sources: the retired node itself, then archive nodes."""
        return node_id != self.node_id, not self.nodes[node_id].archive, node_id

    def _without_source(self, file: RetiringFile, good: Sequence[int]) -> Why:
        good = [*good, *([self.node_id] if file.copy.has_file == HasFile.YES else [])]
        names = sorted(self.nodes[id].name for id in good if id in self.nodes)
        if names:
            return Code.RETIREMENT_SOURCE_INACTIVE(nodes=", ".join(names))
        states = {file.copy.has_file, *(copy.has_file for copy in file.elsewhere)}
        return Code.RETIREMENT_COPY_SUSPECT() if HasFile.MAYBE in states else Code.RETIREMENT_NO_GOOD_COPY()
