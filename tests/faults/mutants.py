"""`alpenhorn` without one of its protections, named by the first argument; the adversary must catch each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable


def unseen() -> None:
    """Good archive copies count even if no run has seen their nodes recently."""
    from alpenhorn.scan import keepers

    keepers._unfit = lambda *state: ""


def linked() -> None:
    """Copies that may share their bytes with another name also count."""
    from alpenhorn.scan import keepers

    right = keepers._unfit

    def unfit(medium, state, *rest):
        return right(medium, (*state[:-1], 1), *rest)

    keepers._unfit = unfit


def exchanged() -> None:
    """A different medium is accepted as the expected one."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.NEW if standing is media.Standing.EXCHANGED else standing

    media.judge = judge
    from alpenhorn.coordinator import manifest_due

    manifest_due.uncertain = lambda *facts: False  # which would find that the files are not there


def rolled_back() -> None:
    """A disk older than the index is accepted as current."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.AS_LEFT if standing is media.Standing.BEHIND else standing

    media.judge = judge
    from alpenhorn.coordinator import manifest_due

    manifest_due.uncertain = lambda *facts: False


def restored() -> None:
    """An index older than the disks is trusted."""
    from alpenhorn.plan import media

    right = media.judge

    def judge(*facts):
        standing = right(*facts)
        return media.Standing.AS_LEFT if standing is media.Standing.AHEAD else standing

    media.judge = judge
    from alpenhorn.coordinator import media as steps

    steps._earlier_runs = lambda *facts: set()


def found() -> None:
    """Every corrupt copy is replaced, even if it was never good."""
    from alpenhorn.plan.pulls import PullPlanner

    right = PullPlanner.decide

    def decide(planner, fact, now):
        return right(planner, fact._replace(once_good=tuple(node_id for node_id, _ in fact.at_group)), now)

    PullPlanner.decide = decide


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant for mutant in (unseen, linked, exchanged, rolled_back, restored, found)
}

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    from alpenhorn.cli.main import main

    sys.exit(main())
