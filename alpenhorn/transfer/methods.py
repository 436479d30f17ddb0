"""Transfer methods.  To add one, add its name to `Method`, and everything else here.

`alpenhorn.plan.pulls` chooses the method for a request.
"""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.model.pulls import Method
from alpenhorn.reasons import Code

TAR_LARGEST = 2**20  # bytes; the worker keeps a file of a tar stream in memory


class MethodTraits(NamedTuple):
    """The properties of a method.

    `function`: "module:name" of the function that transfers files to a stage in a worker (see
    `alpenhorn.workers.pull`).  `reason`: the text shown by `plan`.  `setting`: the value of a node's `method`
    setting that selects it for pulls from other nodes of the host; "" if it cannot be selected.  `network`:
    the bytes come from another host.  `service`: they come from a service, or go to one.
    `session`: starting it is slow, so that a job has many files.
    """

    function: str
    reason: Code
    setting: str = ""
    network: bool = False
    service: bool = False
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
    Method.TAR: MethodTraits(
        "alpenhorn.workers.tar_stream:by_tar", Code.BY_TAR_OVER_SSH, network=True, session=True
    ),
    Method.BBCP: MethodTraits("alpenhorn.workers.fetching:by_bbcp", Code.BY_BBCP, network=True),
    Method.STREAMS: MethodTraits("alpenhorn.workers.streams:by_streams", Code.BY_STREAMS, network=True),
    Method.OBJECTS: MethodTraits(
        "alpenhorn.workers.objects.fetch:by_objects", Code.BY_OBJECTS, service=True, session=True
    ),
}

BY_SETTING = {traits.setting: method for method, traits in METHODS.items() if traits.setting}
