"""Count the files with too few copies once a day for the whole archive, at the end of a run, for `alpenhorn status`.

A run counts for about SECONDS, and a later run, on any host, goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from alpenhorn.index.connection import Index
from alpenhorn.plan.few_copies import FewCopiesRule
from alpenhorn.record.few_copies import complete, interrupt, take
from alpenhorn.scan.copies_by_file import page, page_end
from alpenhorn.scan.few_copies import GRACE, nodes_digest, policies_digest
from alpenhorn.scan.names import acq_names
from alpenhorn.scan.policies import Policies
from alpenhorn.scan.topology import load

_log = logging.getLogger(__name__)

SECONDS = 30.0
PAGE = 20_000


def count(
    index: Index,
    required: int,
    policies: Policies | None,
    may_go_on: Callable[[], bool],
    page_length: int = PAGE,
) -> None:
    """Count further files, unless another run is doing that.

    `required`: the number of good archive copies of files to which no policy applies.  `policies`: None if there are
    none.  `page_length`: number of files that are read with one statement.
    """
    policies = policies or Policies(())
    nodes = load(index).nodes  # as they are now: this run may have adopted media
    sums = take(index, required, policies_digest(policies.every), nodes_digest(nodes.values()))
    if sums is None:
        return
    rule = FewCopiesRule(nodes, required, policies.every, policies.of, GRACE)
    ends, now = time.monotonic() + SECONDS, index.now()
    while (end := page_end(index, sums.place, page_length)) is not None:
        alike = page(index, sums.place, end, rule.keeping, rule.ages, now)
        names = acq_names(index, [one.acq_id for one in alike if one.acq_id is not None]) if policies else {}
        few = [one for one in alike if rule.has_few(names.get(one.acq_id or 0, ""), one.age, one.nodes)]
        sums = sums._replace(
            files=sums.files + sum(one.files for one in few),
            bytes=sums.bytes + sum(one.bytes for one in few),
            place=end,
        )
        if time.monotonic() >= ends or not may_go_on():
            interrupt(index, required, sums)
            _log.info("counted the files with too few copies up to file %d", end)
            return
    complete(index, required, sums)
    _log.info("%d files have too few copies", sums.files)
