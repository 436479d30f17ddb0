"""Check copies that are objects: by the MD5 sum of the service, or by reading those for which it has none."""

from __future__ import annotations

import time
from collections.abc import Sequence

from alpenhorn.errors import Stopped
from alpenhorn.fs.newer import time_text
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.checks import CheckFile, CheckJob, CheckResult
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code, Reason
from alpenhorn.workers.objects.batches import Efforts, batches, md5sums


def check(
    job: CheckJob, node: ObjectNode, report: Reporter, deadline: float | None
) -> tuple[CheckResult, ...]:
    """Return a result for each file, until the run is asked to stop.

    Raises StorageError if the node itself is gone: then no copy is missing or unreadable.
    """
    began = time.time()
    efforts = Efforts(deadline, report.stopping)
    results: list[CheckResult] = []
    try:
        for some in batches(node, job.files):
            if report.stopping():
                break
            report.begin(some[0].path)
            found = _some(some, node, efforts)
            if any(result.verdict is Verdict.UNREADABLE for result in found):
                node.check()
                report.fail()
            results += found
            report.progress(len(some), sum(result.space_b or 0 for result in found))
    except Stopped:
        pass
    return tuple(result._replace(began=began) for result in results)


def _some(files: Sequence[CheckFile], node: ObjectNode, efforts: Efforts) -> list[CheckResult]:
    refused = {file.path: why for file in files if (why := node.refuses(file.path))}
    seen = node.look([file.path for file in files if file.path not in refused], efforts.next())
    sums = md5sums(node, seen, [file.path for file in files], efforts)
    results = []
    for file in files:
        if file.path in refused:
            results.append(CheckResult(file, Verdict.UNREADABLE, error=refused[file.path]))
        elif file.path not in seen:
            results.append(CheckResult(file, Verdict.MISSING, error=Code.COPY_MISSING()))
        else:
            results.append(_verdict(file, seen[file.path], sums.get(file.path, "")))
    return results


def _verdict(file: CheckFile, seen: SeenObject, md5sum: str) -> CheckResult:
    if seen.size_b != file.size_b:
        why = Code.COPY_LENGTH_WRONG(found=seen.size_b, expected=file.size_b)
        return _differs(file, seen, why)
    if not md5sum:
        return CheckResult(file, Verdict.UNREADABLE, error=Code.OBJECT_UNREADABLE())
    if md5sum != (file.md5sum or "").lower():
        return _differs(file, seen, Code.COPY_MD5_WRONG(found=md5sum, expected=file.md5sum))
    return CheckResult(file, Verdict.GOOD, seen.size_b)


def _differs(file: CheckFile, seen: SeenObject, why: Reason) -> CheckResult:
    """Return the result for an object with other data than the index says."""
    modified = time_text(seen.modified) if seen.modified >= file.since else ""
    return CheckResult(file, Verdict.CORRUPT, seen.size_b, why, modified=modified)
