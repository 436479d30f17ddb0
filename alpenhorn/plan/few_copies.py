"""Whether files that have good copies on the same nodes have too few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.policies import MOST_AGE, Policy, PolicyCopy, PolicyFile
from alpenhorn.plan.filing import good_on, places
from alpenhorn.plan.policies import lack

MOST_KNOWN = 10_000  # kept results


class FewCopiesRule:
    """`required`: the number of good archive copies of files to which no policy applies.  `policies`: all policies;
    `of`: returns those that apply to the files of an acquisition.

    `keeping`: ids of the nodes whose copies count.  `ages`: seconds since a file was registered after which each policy
    may find a lack, in ascending order, which are `grace` more than the least age of the policy.
    """

    def __init__(
        self,
        nodes: Mapping[int, NodeFact],
        required: int,
        policies: Sequence[Policy],
        of: Callable[[str], Sequence[Policy]],
        grace: int,
    ) -> None:
        self.nodes = nodes
        self.required = required
        self.grace = grace
        self.keeping = sorted(node.id for node in nodes.values() if node.keeps)
        self.ages = sorted({grace, *(self._age(one) for one in policies)})
        self._of = of
        self._places = places(nodes.values())
        self._known: dict[tuple[str, int, frozenset[int]], bool] = {}

    def _age(self, policy: Policy) -> int:
        return self.grace + max(0, min(policy.min_age, MOST_AGE))

    def has_few(self, acq: str, age: int, nodes: frozenset[int]) -> bool:
        """Return whether the files of an acquisition with good copies on some nodes have too few.

        `age`: the number of `ages` that they have reached.
        """
        key = (acq, age, nodes)
        if key not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._judge(*key)
        return self._known[key]

    def _judge(self, acq: str, age: int, nodes: frozenset[int]) -> bool:
        copies = tuple(PolicyCopy(id, HasFile.YES, WantsFile.YES, True) for id in sorted(nodes))
        good = good_on(PolicyFile(0, acq, "", 0, True, 0.0, copies), self.nodes)
        asked = [policy for policy in self._of(acq) if not policy.fault]
        if not asked:
            return len(good) < self.required
        due = [policy for policy in asked if self._age(policy) in self.ages[:age]]
        return any(lack(policy, good, self._places) for policy in due)
