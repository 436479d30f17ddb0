"""What workers do in the simulation: each kind of job takes time, and has its outcome from the world at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alpenhorn.model.checks import CheckFile, CheckJob, CheckResult
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.links import LookJob, LookOutcome
from alpenhorn.model.manifests import ChangedFile, CompareJob, ManifestJob, ManifestOutcome
from alpenhorn.model.nodes import MARKER, IdentityJob, InitJob, InitOutcome, NodeFact, ProbeJob, ProbeOutcome
from alpenhorn.model.pulls import PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Fate, Task, Verdict
from alpenhorn.reasons import Code, Reason
from alpenhorn.transfer.methods import METHODS
from simulation.links import CONNECT_SECONDS, Network, Sent
from simulation.pool import Begun, Outcome
from simulation.schedule import Schedule
from simulation.world import Medium, World

OTHER_MD5 = "f" * 32  # of a copy that has rotted


class Workers:
    """The workers of all hosts.  `disk_b_s`: bytes per second of each disk."""

    def __init__(self, world: World, network: Network, schedule: Schedule, disk_b_s: float) -> None:
        self._world = world
        self._network = network
        self._schedule = schedule
        self._disk_b_s = disk_b_s
        self._short: dict[str, Callable[[Any, Medium], Outcome]] = {
            "ProbeJob": _probe,
            "InitJob": _initialise,
            "IdentityJob": _identify,
            "LookJob": _look,
            "CompareJob": _compare,
            "ManifestJob": _write_manifest,
            "DeleteJob": self._delete,
        }

    def begin(self, task: Task) -> Begun:
        """Begin a task on the medium that its node has now."""
        job, medium = task.job, self._world.present[task.node_id]
        if isinstance(job, PullJob):
            return self._pull(job, medium)
        if isinstance(job, CheckJob):
            size_b = sum(file.size_b or 0 for file in job.files)
            return Begun(self._schedule.now + size_b / self._disk_b_s, lambda: self._check(job, medium))
        act = self._short[type(job).__name__]
        return Begun(self._schedule.now, lambda: act(job, medium))

    def _pull(self, job: PullJob, medium: Medium) -> Begun:
        source, now = self._world.present[job.source.id], self._schedule.now
        network = METHODS[job.method].network
        link = self._network.between(source.site, medium.site) if network else None
        sent: list[Sent] = []
        for file in job.files:
            at = sent[-1].end if sent else now
            left_b = file.size_b - medium.parts.get(file.file_id, 0)
            if link is not None and (source.usable or link.down_until(now) is not None):
                sent.append(link.send(at, left_b))
            elif source.usable:
                sent.append(Sent(at + left_b / self._disk_b_s, left_b))
            else:
                sent.append(Sent(at + CONNECT_SECONDS, 0))
            if sent[-1].fault:
                break

        def outcome() -> Outcome:
            if link is not None:
                link.bytes += sum(one.bytes for one in sent)
            return Outcome(outcome=tuple(self._arrived(job, source, medium, sent, now)))

        return Begun(sent[-1].end, outcome)

    def _arrived(
        self, job: PullJob, source: Medium, medium: Medium, sent: list[Sent], began: float
    ) -> list[PullResult]:
        """Return the results of a pull, and store what has arrived."""
        results: list[PullResult] = []
        network = METHODS[job.method].network
        progress = False

        def fail(file: PullFile, blame: Blame, error: Reason, unmounted: bool = False) -> None:
            advanced = blame is Blame.NETWORK and not unmounted and progress
            results.append(
                PullResult(
                    file,
                    Verdict.FAILED,
                    began,
                    self._schedule.now,
                    method=job.method,
                    blame=blame,
                    error=error,
                    unmounted=unmounted,
                    advanced=advanced,
                )
            )

        for number, file in enumerate(job.files):
            one = sent[min(number, len(sent) - 1)]
            if not self._is_present(medium):
                fail(file, Blame.DESTINATION, Code.ROOT_NOT_THERE(root=job.node.root))
            elif one.fault:
                if number < len(sent) and one.bytes:
                    progress = True
                    medium.parts[file.file_id] = medium.parts.get(file.file_id, 0) + one.bytes
                lost = Code.CONNECTION_LOST if one.bytes else Code.HOST_UNREACHABLE
                fail(file, Blame.NETWORK, lost(host=job.source.host, detail=one.fault))
            elif not self._is_present(source) and network:
                what = f"{MARKER} did not arrive"
                error = Code.SOURCE_UNMOUNTED(node=job.source.name, host=job.source.host, what=what)
                fail(file, Blame.NETWORK, error, unmounted=True)
            elif not self._is_present(source):
                fail(
                    file,
                    Blame.UNKNOWN,
                    Code.SOURCE_NODE_UNUSABLE(why=Code.ROOT_NOT_THERE(root=job.source.root)),
                )
            elif file.file_id not in source.files:
                fail(file, Blame.SOURCE, Code.SOURCE_NOT_THERE())
            elif file.file_id in source.rotten:
                fail(file, Blame.SOURCE, Code.SOURCE_MD5_WRONG(found=OTHER_MD5, expected=file.md5sum))
            elif file.file_id in medium.files and not file.replace:
                why = Code.PATH_OCCUPIED(path=repr(file.path))
                results.append(PullResult(file, Verdict.OCCUPIED, began, self._schedule.now, error=why))
            else:
                progress = True
                self._world.store(medium, file.file_id, file.size_b)
                done = PullResult(file, Verdict.PULLED, began, self._schedule.now, file.size_b, job.method)
                results.append(done)
        self._world.recovered(file.file_id for file in job.files)
        return results

    def _is_present(self, medium: Medium) -> bool:
        """Return whether a medium can be used, and was not replaced meanwhile."""
        return medium.usable and self._world.present[medium.node_id] is medium

    def _check(self, job: CheckJob, medium: Medium) -> Outcome:
        if not self._is_present(medium):
            return _gone(job.node)
        return Outcome(outcome=tuple(_verdict(file, medium) for file in job.files))

    def _delete(self, job: DeleteJob, medium: Medium) -> Outcome:
        if not medium.usable:
            return Outcome(outcome=DeleteOutcome(error=Code.ROOT_NOT_THERE(root=job.node.root)))
        results = [self._deleted(file, medium) for file in job.files]
        return Outcome(outcome=DeleteOutcome(tuple(results)))

    def _deleted(self, file: DeleteFile, medium: Medium) -> DeleteResult:
        if file.file_id not in medium.files:
            return DeleteResult(file, Verdict.MISSING, error=Code.COPY_MISSING())
        wrong = [
            (node_id, Code.KEEPER_MISSING())
            for node_id in file.keepers
            if not (keeper := self._world.present[node_id]).usable or file.file_id not in keeper.files
        ]
        if len(wrong) > file.spare:
            why = Code.KEEPERS_NOT_AS_RECORDED(failing=len(wrong))
            return DeleteResult(file, Verdict.KEPT, error=why, wrong=tuple(wrong))
        size_b = medium.files[file.file_id]
        self._world.delete(medium, file.file_id)
        return DeleteResult(file, Verdict.DELETED, size_b, wrong=tuple(wrong))


def _gone(node: NodeFact) -> Outcome:
    """Return the outcome of a job that finds the root of its node empty, as the error that its worker raises."""
    return Outcome(Fate.BROKEN, error=_unmarked(node))


def _unmarked(node: NodeFact) -> Reason:
    return Code.ROOT_NOT_MARKED(root=node.root, marker=MARKER, node=node.name)


def _probe(job: ProbeJob, medium: Medium) -> Outcome:
    if not medium.usable:
        # An empty mount point, also in place of a dead disk.
        return Outcome(outcome=ProbeOutcome(job.node.id, uninitialised=True, error=_unmarked(job.node)))
    found = ProbeOutcome(
        job.node.id, medium.free_b, manifest=medium.manifest, identity=medium.identity, place=(0, job.node.id)
    )
    return Outcome(outcome=found)


def _initialise(job: InitJob, medium: Medium) -> Outcome:
    if medium.dead or medium.absent:
        return Outcome(outcome=InitOutcome(job.request_id, Code.ROOT_NOT_THERE(root=job.node.root)))
    medium.marked = True
    return Outcome(outcome=InitOutcome(job.request_id))


def _identify(job: IdentityJob, medium: Medium) -> Outcome:
    if not medium.usable:
        return _gone(job.node)
    medium.identity = job.identity
    return Outcome(outcome="")


def _look(job: LookJob, medium: Medium) -> Outcome:
    if not medium.usable:
        return _gone(job.node)
    lost = tuple((file, Code.COPY_MISSING()) for file in job.files if file.file_id not in medium.files)
    return Outcome(outcome=LookOutcome(len(job.files), lost))


def _compare(job: CompareJob, medium: Medium) -> Outcome:
    if not medium.usable:
        return _gone(job.node)
    return Outcome(
        outcome=tuple(
            ChangedFile(file, Code.COPY_MISSING()) for file in job.files if file.file_id not in medium.files
        )
    )


def _write_manifest(job: ManifestJob, medium: Medium) -> Outcome:
    if not medium.usable:
        return _gone(job.node)
    forgotten = 0
    if job.first:
        old = {} if job.anew else medium.listed
        medium.draft = {path: size_b for path, size_b in old.items() if path not in job.forget}
        forgotten = len(old) - len(medium.draft)
    medium.draft |= {file.path: file.size_b for file in job.files}
    if job.last:
        medium.listed, medium.draft, medium.manifest = medium.draft, {}, job.token
    written = medium.listed if job.last else medium.draft
    return Outcome(outcome=ManifestOutcome(len(written), sum(written.values()), forgotten))


def _verdict(file: CheckFile, medium: Medium) -> CheckResult:
    if file.file_id not in medium.files:
        return CheckResult(file, Verdict.MISSING, error=Code.COPY_MISSING())
    if file.file_id in medium.rotten:
        wrong = Code.COPY_MD5_WRONG(found=OTHER_MD5, expected=file.md5sum)
        return CheckResult(file, Verdict.CORRUPT, medium.files[file.file_id], wrong)
    return CheckResult(file, Verdict.GOOD, medium.files[file.file_id])
