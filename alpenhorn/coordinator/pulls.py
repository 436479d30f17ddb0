"""Pulls: pending requests are planned in pages, claimed, carried out and recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.limited import Limited
from alpenhorn.coordinator.report import file_label
from alpenhorn.coordinator.sources import Sources
from alpenhorn.errors import StorageError
from alpenhorn.fs.verified_status import LEAST_B
from alpenhorn.model.pulls import Method, PullFact, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Done, Fate, Task, TaskKind, Verdict
from alpenhorn.plan.batches import BATCH_BYTES, pull_tasks
from alpenhorn.plan.pulls import Choice, PullDecision
from alpenhorn.plan.sources import Route
from alpenhorn.reasons import Code, Reason, Why, code_of, headed
from alpenhorn.record import claims, pulls
from alpenhorn.record.priorities import tidy
from alpenhorn.scan import priorities
from alpenhorn.scan.digests import known_sha256
from alpenhorn.scan.priorities import PriorityLevel
from alpenhorn.scan.pulls import page
from alpenhorn.scan.verified_status import known_statuses
from alpenhorn.transfer.methods import METHODS

PAGE = 5000
FIRST_PAGE = 500  # small, so that workers start soon; each page is at most twice as long as the one before it
LEAST_SESSION = 500  # files for which it is worth to start a session with a host or service


class Pulls:
    kind = TaskKind.PULL

    def __init__(self, context: Context) -> None:
        self.context = context
        self._limited = Limited(context)
        self._sources = Sources(context)
        self._planned: dict[tuple[int, int], int] = {}  # the last planned request of each group and priority
        self._most_b = BATCH_BYTES * context.limits.workers
        workers = context.limits.workers
        self._most = context.limits.page(PAGE)  # requests of a page without sessions
        # The same with sessions with another host, one for each page: on a long link, all workers should soon have one.
        self._most_in_session = min(max(LEAST_SESSION, 2 * PAGE // workers), PAGE)
        self._begun_again = False
        self._pages: dict[tuple[int, PriorityLevel], Iterator[list[PullFact]]] = {}
        self._taken: Counter[tuple[int, PriorityLevel]] = Counter()  # pages with tasks
        self._begin(priorities.last_change(context.index))

    def _begin(self, changed: str | None) -> None:
        """Plan the most urgent requests next; `changed`: the last change of a priority.

        Requests without a priority are continued where they were.
        """
        index, groups = self.context.index, self.context.groups
        self._changed = changed
        if changed is not None:
            tidy(index, groups)
        self._pages = {turn: self._pages_of(*turn) for turn in priorities.turns(index, groups, changed)}

    def _notice_priorities(self) -> None:
        """Begin again if a priority was changed: a backlog may take days."""
        changed = priorities.last_change(self.context.index)
        if changed != self._changed:
            self._begun_again = True
            self.context.changed = True  # a request that is no longer urgent may have been passed
            self._begin(changed)

    def _pages_of(self, group_id: int, level: PriorityLevel) -> Iterator[list[PullFact]]:
        key = (group_id, level.priority)
        size = FIRST_PAGE
        facts = self._page(group_id, level, size, 0 if level.priority else self._planned.get(key, 0))
        if most := max(map(self._session_page, facts), default=0):
            size = max(FIRST_PAGE, most // 2)
            facts += self._page(group_id, level, size - len(facts), facts[-1].request_id)
        while facts:
            last = facts[-1]
            self._planned[key] = last.request_id
            if self._begun_again:
                facts = [fact for fact in facts if not self.context.planner.under_way(fact)]
            if facts:
                yield facts
            size = min(2 * size, self._session_page(last) or self._most)
            facts = self._page(group_id, level, size, self._planned[key])

    def _page(self, group_id: int, level: PriorityLevel, size: int, after: int) -> list[PullFact]:
        index, planner = self.context.index, self.context.planner
        now = self.context.posix_now()
        return page(
            index,
            group_id,
            after,
            size,
            self.context.run.id,
            index.now(),
            lambda fact: planner.lacks_source(fact, now),
            level,
        )

    def _session_page(self, fact: PullFact) -> int:
        """Return the length of a page if the pull of a file starts a session with a host or service, 0 if it does not.

        Without a route, it is assumed that another source, on another host, takes the place of the requested one.
        """
        try:
            route = self.context.planner.routes.of(fact.node_from_id, fact.group_to_id)
        except StorageError:  # a package's storage class failed
            return PAGE
        methods = route.method.values() if isinstance(route, Route) else (Method.RSYNC_SSH,)
        if any(METHODS[method].network for method in methods):
            return self._most_in_session
        return PAGE if any(METHODS[method].session for method in methods) else 0

    def feed(self) -> list[Task]:
        self._withdraw_outdated()
        if self._pages:
            self._notice_priorities()
        # In turn: the requests of one group may take longer than the run, or longer than those of others can wait.
        for turn in sorted(self._pages, key=lambda turn: (-turn[1].priority, self._taken[turn])):
            # While pulls wait for a share of a bandwidth limit, plan more only for other groups.
            tasks = [] if self._limited.waits(turn[0]) else self._next_page(turn)
            if tasks:
                self._taken[turn] += 1
                return tasks + self._limited.start()
        started = self._limited.start()
        if not started and not self._pages:
            self._limited.speed_up()
        return started

    def _next_page(self, turn: tuple[int, PriorityLevel]) -> list[Task]:
        """Return the tasks of the next page that has any, [] if none or all wait for a share."""
        for facts in self._pages[turn]:
            tasks = self._plan(facts)
            if tasks or self._limited.waits(turn[0]):
                return tasks
        del self._pages[turn]
        return []

    def _withdraw_outdated(self) -> None:
        """Withdraw waiting tasks whose bandwidth limit changed or whose nodes were taken off or take no more."""
        for task in self._limited.outdated():
            self.task_withdrawn(task)
            self.context.changed = True
        for task in self._limited.withdraw(self._is_wanted):
            self.task_withdrawn(task)

    def _is_wanted(self, task: Task) -> bool:
        assert isinstance(task.job, PullJob)
        source = self.context.topology.nodes.get(task.job.source.id)
        if task.node_id in self.context.planner.troubles.unwritable:
            return False
        return (
            source is not None and source.active and not {source.id, task.node_id} & self.context.gone.keys()
        )

    def _plan(self, facts: list[PullFact]) -> list[Task]:
        context = self.context
        now = context.posix_now()
        self._limited.new_page()
        decisions = list(self._decide(facts, now))
        last = decisions[-1].fact
        if last.request_id != facts[-1].request_id:  # the rest of the page is planned later
            self._planned[last.group_to_id, last.priority] = last.request_id
        cancelled = [decision for decision in decisions if decision.choice is Choice.CANCEL]
        if cancelled:
            pulls.cancel(context.index, context.run, cancelled)
            context.changed = True
        for decision in decisions:
            self._sources.decided(decision)
            if decision.choice is Choice.SKIP:
                reported = (decision.node_id, decision.fact.file_id) in context.whole.foreign
                notes = context.report.later if reported else context.report.waiting
                if code_of(decision.why) == Code.HOST_SILENT:
                    self._sources.silent(decision, notes, _name(decision.fact))
                else:
                    what = headed("not pulled", decision.why)
                    notes.lasting(what, _name(decision.fact) + decision.in_brackets)
            elif decision.choice is Choice.WAIT:
                what = headed("not pulled yet", decision.why)
                context.report.later.add(what, _name(decision.fact))
        wanted = [decision for decision in decisions if decision.choice is Choice.PULL]
        if not wanted:
            self._pass_over(decisions, ())
            return []
        claimed = self._with_statuses(self._with_sha256(claims.claim(context.index, context.run, wanted)))
        granted = {decision.fact.request_id for decision in claimed}
        for decision in wanted:
            fact = decision.fact
            if fact.request_id not in granted:
                context.planner.finished(
                    fact.group_to_id, fact.file_id, decision.node_id, fact.size_b or 0, None
                )
        self._pass_over(decisions, granted)
        share = self._limited.share
        harmless = [decision for decision in claimed if not _killed_a_worker(decision)]
        tasks = list(pull_tasks(harmless, context.limits, context.stage, share))
        # Each in its own job, so that a file that crashes its worker affects no other.
        for decision in claimed:
            if _killed_a_worker(decision):
                tasks.extend(pull_tasks([decision], context.limits, context.stage, share))
        return self._limited.hold(tasks)

    def _with_sha256(self, decisions: list[PullDecision]) -> list[PullDecision]:
        """Add the known SHA-256 sums, and have unknown ones computed, if this host records them."""
        if not self.context.config.sync.sha256:
            return decisions
        known = known_sha256(self.context.index, [decision.fact.file_id for decision in decisions])
        return [
            decision._replace(fact=decision.fact._replace(sha256=known.get(decision.fact.file_id, "")))
            for decision in decisions
        ]

    def _with_statuses(self, decisions: list[PullDecision]) -> list[PullDecision]:
        """Add the statuses of sources that need not be read for a hard link."""
        if self.context.config.transfer.verify_links:
            return decisions
        sha256: dict[int, dict[int, str | None]] = {}
        for decision in decisions:
            fact = decision.fact
            if decision.method is Method.LINK and (fact.size_b or 0) >= LEAST_B:
                assert decision.source is not None
                sha256.setdefault(decision.source.id, {})[fact.file_id] = fact.sha256
        known = {
            (node_id, file_id): status
            for node_id, files in sha256.items()
            for file_id, status in known_statuses(self.context.index, node_id, files).items()
        }
        return [_with_status(decision, known) for decision in decisions] if known else decisions

    def _pass_over(self, decisions: Iterable[PullDecision], granted: Container[int]) -> None:
        """Count the requests that are not carried out in this round as work that is not pending."""
        left = [decision.fact for decision in decisions if decision.fact.request_id not in granted]
        self.context.report.amounts.of(self.kind).passed(len(left), sum(fact.size_b or 0 for fact in left))

    def _decide(self, facts: list[PullFact], now: float) -> Iterator[PullDecision]:
        """Decide requests until there is work enough; the rest of the page is planned later, on current rows."""
        size_b = 0
        for fact in facts:
            decision = self.context.planner.decide(fact, now)
            yield decision
            if decision.choice is Choice.PULL:
                size_b += fact.size_b or 0
                if self._limited.enough(decision) or size_b >= self._most_b:
                    return

    def task_ended(self, done: Done) -> None:
        job = done.task.job
        assert isinstance(job, PullJob)
        interrupted = self._limited.ended(done.task)
        if done.fate is Fate.DONE:
            results: tuple[PullResult, ...] = done.outcome
        else:
            results = self._all_failed(job, done)
        results = self._without_away(job, results)
        settled = {result.file.request_id for result in results}
        left = [file for file in job.files if file.request_id not in settled]
        self._give_back(job, left)
        if left and (interrupted or (job.until is not None and self.context.posix_now() >= job.until)):
            self.context.changed = (
                True  # another bandwidth limit or share is in force; the rest is planned again
            )
        if not results:
            return
        silent = self._sources.task_ended(job, results, timed_out=done.fate is Fate.TIMED_OUT)
        if not pulls.settle(
            self.context.index, self.context.run, job.source, job.node, results, silent.spared
        ):
            self._not_recorded(job, results)
            return
        self._count(job, results, silent.reasons)
        self._trouble(job, results)

    def _without_away(self, job: PullJob, results: tuple[PullResult, ...]) -> tuple[PullResult, ...]:
        """Restore sources that were on tape only, and return the other results."""
        away = [result for result in results if result.verdict is Verdict.AWAY]
        if not away:
            return results
        from alpenhorn.record import tape  # few archives have tape

        context = self.context
        tape.record_on_tape(
            context.index, context.run, job.source.id, [result.file.file_id for result in away]
        )
        for result in away:
            context.report.later.add(Code.SOURCE_ON_TAPE_ONLY(node=job.source.name), result.file.path)
        context.changed = True
        return tuple(result for result in results if result.verdict is not Verdict.AWAY)

    def _all_failed(self, job: PullJob, done: Done) -> tuple[PullResult, ...]:
        now = self.context.posix_now()
        blame, error = Blame.WORKER, done.why
        if done.fate is Fate.TIMED_OUT and METHODS[job.method].network:
            blame = Blame.NETWORK
            error = Code.PULL_TIMED_OUT(host=job.source.host, seconds=done.task.deadline or 0.0)
        elif done.fate is Fate.TIMED_OUT:
            blame = Blame.DESTINATION
        return tuple(
            PullResult(file, Verdict.FAILED, now - done.seconds, now, blame=blame, error=error)
            for file in job.files
        )

    def _count(self, job: PullJob, results: tuple[PullResult, ...], silent: Mapping[int, Reason]) -> None:
        """Count results.  `silent`: reasons for requests whose source could not be reached, by request id."""
        context = self.context
        tally = context.report.tally("pull")
        context.changed = True
        for result in results:
            used = result.space_b if result.verdict is Verdict.PULLED else None
            context.planner.finished(
                job.node.group_id, result.file.file_id, job.node.id, result.file.size_b, used
            )
            if result.verdict is Verdict.PULLED:
                tally.done += 1
                tally.bytes += result.file.size_b
                if result.aside:
                    kept = headed(f"on {job.node.name}", Code.CHANGED_FILE_KEPT(path=repr(result.aside)))
                    context.report.warnings.add(kept, result.file.path)
            elif result.verdict is Verdict.FAILED and not result.advanced:
                tally.failed += 1
                if why := silent.get(result.file.request_id):
                    # Reported once for the host, not for each pair of nodes.
                    subject = job.source.name if result.unmounted else str(job.source.host)
                    context.report.failures.lasting(why, result.file.path, subject=subject, files=True)
                    context.whole.unreached.add(result.file.request_id)
                    continue
                context.report.failures.add(
                    Code.PULLS_FAILED(source=job.source.name, node=job.node.name),
                    f"{result.file.path}: {result.error}",
                )

    def _not_recorded(self, job: PullJob, results: tuple[PullResult, ...]) -> None:
        """Discard the results for a node that was moved during the job; its requests stay pending."""
        context = self.context
        context.node_moved(job.node.id)
        for file in (result.file for result in results):
            context.planner.finished(job.node.group_id, file.file_id, job.node.id, file.size_b, None)
        self._withdraw(lambda task: task.node_id != job.node.id)

    def _trouble(self, job: PullJob, results: tuple[PullResult, ...]) -> None:
        """Stop pulls from or onto a node or host after one failure of the respective kind."""
        blamed = {
            result.blame: result.error
            for result in results
            if result.blame is not None and not result.unmounted
        }
        node, host = job.node, job.source.host
        unmounted: Why = next((result.error for result in results if result.unmounted), "")
        if unmounted:
            source_id = job.source.id
            self.context.planner.trouble_with_source(source_id, unmounted)
            self._withdraw(lambda task: not _from_node(task, source_id))
        if Blame.DESTINATION in blamed:
            self.context.planner.trouble_at_node(node.id, Code.DESTINATION_TAKES_NO_MORE(node=node.name))
            self._withdraw(lambda task: task.kind is not TaskKind.PULL or task.node_id != node.id)
        silent = blamed.get(Blame.NETWORK)
        if silent and host is not None:
            goes_on = all(result.advanced for result in results if result.blame is Blame.NETWORK)
            self.context.planner.trouble_with_host(host, Code.HOST_SILENT(error=silent), goes_on)
            self._withdraw(lambda task: not _from_host(task, host))

    def _withdraw(self, keep: Callable[[Task], bool]) -> None:
        self.context.withdraw(keep)
        for task in self._limited.withdraw(keep):
            self.task_withdrawn(task)

    def task_withdrawn(self, task: Task) -> None:
        assert isinstance(task.job, PullJob)
        self._limited.ended(task)
        self._give_back(task.job, task.job.files)

    def _give_back(self, job: PullJob, files: list[PullFile] | tuple[PullFile, ...]) -> None:
        if not files:
            return
        context = self.context
        for file in files:
            context.planner.finished(job.node.group_id, file.file_id, job.node.id, file.size_b, None)
        context.index.retry(
            lambda: claims.release(
                context.index, context.run, job.node.group_id, [file.file_id for file in files]
            )
        )


def _with_status(decision: PullDecision, known: Mapping[tuple[int, int], str]) -> PullDecision:
    """Add the status of the source; `known`: by (node id, file id)."""
    assert decision.source is not None
    status = known.get((decision.source.id, decision.fact.file_id), "")
    return decision._replace(fact=decision.fact._replace(verified_status=status))


def _name(fact: PullFact) -> str:
    return file_label(fact.acq, fact.name, f"request {fact.request_id}")


def _killed_a_worker(decision: PullDecision) -> bool:
    return decision.fact.attempt is not None and decision.fact.attempt.blame == Blame.WORKER


def _from_node(task: Task, node_id: int) -> bool:
    return isinstance(task.job, PullJob) and task.job.source.id == node_id


def _from_host(task: Task, host: str) -> bool:
    return isinstance(task.job, PullJob) and METHODS[task.job.method].network and task.job.source.host == host
