"""`alpenhorn` without one of its protections, named by the first argument; the adversary must catch each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf


def patch(owner: object, name: str, replacement: object) -> None:
    """Replace an attribute, which must exist: a mutant of what was renamed would be the right program."""
    getattr(owner, name)
    setattr(owner, name, replacement)


def unseen() -> None:
    """Good archive copies count even if no run has seen their nodes recently."""
    from alpenhorn.scan import keepers

    patch(keepers, "_why_uncounted", lambda *state: "")


def linked() -> None:
    """Copies that may share their bytes with another name also count."""
    from alpenhorn.scan import keepers

    right = keepers._why_uncounted

    def unfit(node, *rest):
        return right(node._replace(separate=True), *rest)

    patch(keepers, "_why_uncounted", unfit)


def retired() -> None:
    """Copies on retired nodes also count."""
    from alpenhorn.scan import keepers

    patch(keepers, "_RETIRED", "")


def untaped() -> None:
    """Copies that are not on tape yet count, whatever their storage class asks for."""
    from alpenhorn.scan import deletions

    patch(deletions, "tape_states", lambda *state: ({}, set()))


def exchanged() -> None:
    """A different medium is accepted as the expected one."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.NEW if standing is media.Standing.EXCHANGED else standing

    patch(media, "judge", judge)
    from alpenhorn.coordinator import manifest_due

    patch(manifest_due, "uncertain", lambda *facts: False)  # which would find that the files are not there


def rolled_back() -> None:
    """A disk older than the index is accepted as current."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.AS_LEFT if standing is media.Standing.BEHIND else standing

    patch(media, "judge", judge)
    from alpenhorn.coordinator import manifest_due

    patch(manifest_due, "uncertain", lambda *facts: False)


def restored() -> None:
    """An index older than the disks is trusted."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.AS_LEFT if standing is media.Standing.AHEAD else standing

    patch(media, "judge", judge)
    from alpenhorn.coordinator import media as steps

    patch(steps, "_earlier_runs", lambda *facts: set())


def found() -> None:
    """Every corrupt copy is replaced, even if it was never good."""
    from alpenhorn.plan.pulls import PullPlanner

    right = PullPlanner.decide

    def decide(planner, fact, now):
        at = tuple(node_id for node_id, _ in fact.at_group)
        since = tuple((node_id, inf) for node_id in at)
        return right(planner, fact._replace(once_good=at, since=since), now)

    patch(PullPlanner, "decide", decide)


def cloned() -> None:
    """A copy of another node's disk is accepted as the expected medium."""
    from alpenhorn.plan import media

    right = media.judge
    clones: set[str] = set()

    def judge(known, found, index_id, others):
        standing = right(known, found, index_id, others)
        if standing is media.Standing.CLONE:
            clones.add(found.medium)
        return media.Standing.AS_LEFT if found is not None and found.medium in clones else standing

    patch(media, "judge", judge)
    from alpenhorn.coordinator import manifest_due

    patch(manifest_due, "uncertain", lambda *facts: False)


def unfenced() -> None:
    """A run records its deletions although another run has taken over its claims."""
    from alpenhorn.record import claims

    patch(claims, "held_claims", lambda index, run, kind, target_id, fences: set(fences))


def aged() -> None:
    """A worker deletes on the strength of claims of any age."""
    from alpenhorn.workers import delete

    patch(delete, "check_age", lambda job: None)


def displaced() -> None:
    """Work is recorded for a node that has moved to another place meanwhile."""
    from alpenhorn.record import place

    patch(place, "node_unmoved", lambda *facts, **options: True)


def absent() -> None:
    """A root without a marker is accepted: an empty mount point is taken for a disk that has lost everything."""
    from alpenhorn.io.default import DefaultNode

    right = DefaultNode._check

    def check(node, found):
        if found is not None:
            right(node, found)

    patch(DefaultNode, "_check", check)


def half_mounted() -> None:
    """However many copies are missing at once, they are believed to be lost."""
    from alpenhorn.plan import checks

    patch(checks, "storage_in_doubt", lambda looked, lost: False)


def shared_path() -> None:
    """A copy is deleted although another file of the index has the same path."""
    from alpenhorn.scan import same_path

    patch(same_path, "sharing", lambda *facts: {})


def rotten() -> None:
    """A file that its owner changed is taken for a corrupt copy."""
    from alpenhorn.fs import newer

    patch(newer, "written_since", lambda status, since: False)


def one_site() -> None:
    """Copies of a file at one site are enough, whatever its policies ask for."""
    from alpenhorn.plan import deletions

    def at_one_site(right):
        return lambda policy, *rest: right(policy._replace(sites=1), *rest)

    # The second one tells the worker how many keepers may fail.
    for name in ("lack", "spare"):
        patch(deletions, name, at_one_site(getattr(deletions, name)))


def unread() -> None:
    """A copy is deleted although a run pulls from it in place of the requested source."""
    from alpenhorn.scan import deletions

    patch(deletions, "_pulled_from", lambda *facts: {})


def followed() -> None:
    """Emptying the trash follows links, as a removal by paths does."""
    import os

    from alpenhorn.fs import trashed

    def entries(directory):
        return [(name, os.stat(name, dir_fd=directory)) for name in sorted(os.listdir(directory))]

    patch(trashed, "_entries", entries)
    patch(trashed, "_DIRECTORY", os.O_RDONLY | os.O_DIRECTORY)
    patch(trashed, "_mount", lambda fd: "")


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        unseen,
        linked,
        retired,
        untaped,
        exchanged,
        rolled_back,
        restored,
        found,
        cloned,
        unfenced,
        aged,
        displaced,
        absent,
        half_mounted,
        shared_path,
        rotten,
        one_site,
        unread,
        followed,
    )
}

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    from alpenhorn.cli.main import main

    sys.exit(main())
