"""The ways to bring bytes to a node.  A new one is registered here: its name in `Method`, and all else below.

Which of them serves a request is decided in `alpenhorn.plan.pulls`.
"""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.model.pulls import Method
from alpenhorn.reasons import Code


class MethodTraits(NamedTuple):
    """`carry`: "module:name" of the function that brings files into a stage in a worker (see `alpenhorn.workers.pull`).

    `reason`: what `plan` says of it.  `setting`: the value of a node's `transfer` setting that chooses it for pulls
    from other nodes of the host; "" where it cannot be chosen.  `network`: the bytes come from another host.
    `session`: starting it takes long, so that one job has many files.
    """

    carry: str
    reason: Code
    setting: str = ""
    network: bool = False
    session: bool = False


METHODS = {
    Method.LINK: MethodTraits("alpenhorn.workers.local:by_link", Code.BY_HARD_LINK),
    Method.COPY: MethodTraits("alpenhorn.workers.local:by_copy", Code.BY_COPY, setting="auto"),
    Method.RSYNC: MethodTraits(
        "alpenhorn.workers.fetching:by_rsync", Code.BY_RSYNC, setting="rsync", session=True
    ),
    Method.RSYNC_SSH: MethodTraits(
        "alpenhorn.workers.fetching:by_rsync", Code.BY_RSYNC_OVER_SSH, network=True, session=True
    ),
    Method.BBCP: MethodTraits("alpenhorn.workers.fetching:by_bbcp", Code.BY_BBCP, network=True),
}

BY_SETTING = {traits.setting: method for method, traits in METHODS.items() if traits.setting}
