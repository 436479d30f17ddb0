"""Check the Dask cluster whose machines do jobs: that it can be reached, and the versions on its machines.

Whether a machine shares the storage of a node is left to runs, which hold the node's lock meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from alpenhorn.config import Config
from alpenhorn.index.check import Finding, Level
from alpenhorn.outside import exception
from alpenhorn.reasons import Code, headed

if TYPE_CHECKING:
    from alpenhorn.workers.cluster_link import Cluster


def cluster(config: Config) -> Iterator[Finding]:
    """Check the scheduler that is configured, and its machines.

    All are warnings: without them, this host does the work itself.
    """
    try:
        from alpenhorn.workers.cluster_link import Cluster  # an optional package, which takes half a second
    except ImportError as error:
        yield Finding(Level.WARN, Code.DASK_MISSING(why=exception(error)))
        return
    link = Cluster(config.sync.scheduler, config.transfer)
    yield from link.run(_examined(link))


async def _examined(link: Cluster) -> list[Finding]:
    from alpenhorn.workers.cluster_link import ClusterUnusable  # as above

    try:
        machines = await link.machines()
    except ClusterUnusable as error:
        return [Finding(Level.WARN, error.reason)]
    try:
        if not machines:
            return [Finding(Level.WARN, Code.SCHEDULER_WITHOUT_WORKERS(scheduler=link.scheduler))]
        return await asyncio.gather(*(_machine(link, *one) for one in sorted(machines.items())))
    finally:
        await link.disconnect()


async def _machine(link: Cluster, address: str, threads: int) -> Finding:
    from alpenhorn.workers.cluster_link import MachineLost  # as above

    try:
        name, why = await link.about(address)
    except MachineLost as lost:
        return Finding(Level.WARN, lost.reason, "look at the log of its Dask worker")
    machine = f"machine {name} ({address}) of the Dask cluster"
    if why:
        return Finding(Level.WARN, headed(machine, why))
    return Finding(
        Level.PASS, f"{machine} does {threads} jobs at once" if threads > 1 else f"{machine} does jobs"
    )
