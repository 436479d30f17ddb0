"""Records imports: acquisitions, files and copies, each batch in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.imports import ImportedFile, ImportResult, KnownFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Blame
from alpenhorn.plan.imports import is_new, same_path
from alpenhorn.reasons import Code, Reason, Why, code_of, within
from alpenhorn.record import digests, verified_status
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.copies import file_facts, good, never_good, once_good
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events
from alpenhorn.scan.imports import known
from alpenhorn.scan.same_path import sharing

COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "size_b", "last_update")
KEPT = ("has_file", "ready", "size_b", "last_update")
PRESENT = ("Y", "M", "X")
NEW = Code.FILE_REGISTERED()
FOLDED = Code.NAME_TAKEN_FOR_ANOTHER()
REMOVED = Code.FILE_ROW_REMOVED_MEANWHILE()


class Imported(NamedTuple):
    """The result of recording a batch.

    `new` and `same`: numbers of new and of known, unchanged files; `differ`: (path, difference) of files that differ
    from the index; `refused`: (path, reason) of files that the index cannot store; `reported`: details of the files
    that were asked for; `moved`: nothing was recorded, since the node was moved after the files were read.
    """

    new: int
    same: int
    differ: list[tuple[str, Reason]]
    refused: list[tuple[str, Reason]]
    reported: tuple[ImportedFile, ...] = ()
    moved: bool = False


def settle(
    index: Index,
    run: Run,
    node: NodeFact,
    hashed: Sequence[ImportResult],
    deleting: Collection[int] = (),
    report: Collection[str] = (),
) -> Imported:
    """Register hashed files, all with verdict HASHED.  `report`: paths of files whose details to return.

    `deleting`: ids of files whose copies on the node were claimed for deletion in the meantime; nothing is recorded
    for them, since they may have been deleted.

    The rows are read here, so that a file that another host has registered in the meantime is compared, not
    overwritten.  Nothing is recorded if the node was moved in the meantime.
    """

    def work() -> Imported:
        if not node_unmoved(index, node):
            return Imported(0, 0, [], [], moved=True)
        now = run.now()
        # What is written during the reading is newer than what was read.
        began = min((result.began for result in hashed), default=0.0)
        read = run.at(began) if began else now
        refused = _taken(index, node, hashed)
        left_out = dict(refused)
        results = [result for result in hashed if result.file.path not in left_out]
        # New rows are recognized by their ids: another query for the names before the insertion would double the time.
        (last,) = index.execute("SELECT COALESCE(MAX(id), 0) FROM archivefile").fetchone()
        last_acq = _last_acq(index) if report else 0
        acq_ids = _acquisitions(index, {result.file.acq for result in results})
        index.executemany(
            index.insert_ignore("archivefile", ("acq_id", "name", "size_b", "md5sum", "registered")),
            [
                (acq_ids[result.file.acq], result.file.name, result.size_b, result.md5sum, read)
                for result in results
                if result.file.acq in acq_ids and result.file.known is None
            ],
        )
        rows = {(row.acq, row.name): row for row in _known(index, node, results)}
        sha256 = digests.keep_first(index, _contents(results, rows, deleting))
        fine: list[tuple[KnownFile, int | None, Reason]] = []
        differ: list[tuple[KnownFile, int | None, Reason]] = []
        modified: dict[int, str] = {}
        proven: list[verified_status.VerifiedFile] = []
        for result in results:
            row = rows.get((result.file.acq, result.file.name))
            if row is None:
                refused.append((result.file.path, FOLDED if result.file.known is None else REMOVED))
            elif row.file_id in deleting:
                continue
            elif difference := _difference(result, row, sha256):
                differ.append((row, result.space_b, difference))
                modified[row.file_id] = result.modified
            else:
                why = NEW if row.file_id > last else Code.FILE_KNOWN_AND_SAME()
                if result.moved and why == NEW:
                    why = Code.FILE_MOVED_AND_REGISTERED(acq=row.acq)
                fine.append((row, result.space_b, why))
                if result.verified_status:
                    assert result.md5sum is not None
                    proven.append(
                        verified_status.VerifiedFile(
                            row.file_id, result.md5sum, result.sha256, result.verified_status
                        )
                    )
        if differ:
            differ = _with_owners_work(index, node, differ, modified)
        # A copy that the index already has keeps wants_file, so that a released copy stays released.
        for update, existing in ((COPY[2:], False), (KEPT, True)):
            imported = [one for one in fine if (one[0].has_file in PRESENT) is existing]
            copies = [(row.file_id, space_b) for row, space_b, _ in imported]
            good(index, run, node, copies, "imported", [why for *_, why in imported], update, read)
            index.executemany(
                index.upsert("archivefilecopy", COPY, COPY[:2], update),
                [
                    (row.file_id, node.id, "X", "Y", 1, space_b, now)
                    for row, space_b, _ in differ
                    if (row.has_file in PRESENT) is existing
                ],
            )
        verified_status.keep(index, node.id, proven)
        verified_status.forget(index, node.id, [row.file_id for row, *_ in differ])
        corrupt = [(row, why) for row, _, why in differ if code_of(why) != Code.COPY_CHANGED]
        altered = [(row, why) for row, _, why in differ if code_of(why) == Code.COPY_CHANGED]
        collided = {row.file_id for row, why in corrupt if code_of(why) == Code.COPY_SHA256_WRONG}
        rotted = [row for row, _ in corrupt if row.file_id not in collided]
        once_good(index, node.id, [row.file_id for row in rotted if row.has_file == "Y"])
        never_good(index, node.id, [row.file_id for row in rotted if row.has_file in (None, "N")])
        # The SHA-256 sum on record may be that of a forged copy.
        never_good(index, node.id, sorted(collided))
        # Without the evidence, no pull replaces what the owner of the file has written.
        never_good(index, node.id, [row.file_id for row, _ in altered])
        for what, rows_of in (("corrupt", corrupt), ("changed", altered)):
            events(index, run, what, [(row.file_id, node.id, why) for row, why in rows_of])
        registered = sum(1 for row, *_ in fine if row.file_id > last)
        differences = [(f"{row.acq}/{row.name}", why) for row, _, why in differ]
        reported = tuple(
            ImportedFile(
                file_id=row.file_id,
                acq_id=acq_ids[row.acq],
                node_id=node.id,
                acq=row.acq,
                name=row.name,
                node=node.name,
                size_b=row.size_b or 0,
                md5sum=row.md5sum or "",
                new_file=row.file_id > last,
                new_acq=acq_ids[row.acq] > last_acq,
            )
            for row, *_ in fine
            if f"{row.acq}/{row.name}" in report
        )
        return Imported(registered, len(fine) - registered, differences, refused, reported)

    return index.retry(work)


def complete(index: Index, request_id: int) -> None:
    """Complete an import request that was carried out, or never can be."""

    def work() -> None:
        index.execute("UPDATE archivefileimportrequest SET completed = 1 WHERE id = ?", (request_id,))
        succeeded(index, "import", [request_id])

    index.retry(work)


def postpone(index: Index, run: Run, request_id: int, error: Reason) -> None:
    """Record a failed attempt at an import request; it is tried again later."""
    index.retry(lambda: failed(index, run, "import", [Failure(request_id, Blame.UNKNOWN, error)]))


def _taken(index: Index, node: NodeFact, results: Sequence[ImportResult]) -> list[tuple[str, Reason]]:
    """Return (path, reason) of the files at whose path the index has another file on the node."""
    new = {number: result.file for number, result in enumerate(results) if is_new(result.file)}
    shared = sharing(index, node.id, [(number, file.acq, file.name) for number, file in new.items()])
    return [(new[number].path, same_path(acq)) for number, acq in shared.items()]


def _known(index: Index, node: NodeFact, results: Sequence[ImportResult]) -> Iterable[KnownFile]:
    names = [(result.file.acq, result.file.name) for result in results]
    rows = known(index, node.id, names).values()
    # Locks the rows, so that they cannot change before the result of the comparison is recorded.
    facts = file_facts(index, [row.file_id for row in rows])
    for row in rows:
        if row.file_id in facts:
            size_b, md5sum = facts[row.file_id]
            yield row._replace(size_b=size_b, md5sum=md5sum)


def _last_acq(index: Index) -> int:
    (last,) = index.execute("SELECT COALESCE(MAX(id), 0) FROM archiveacq").fetchone()
    return int(last)


def _acquisitions(index: Index, names: set[str]) -> dict[str, int]:
    """Return the ids of acquisitions by name, creating those that are missing.

    A name that the index takes for another one is left out.
    """
    found = _acq_ids(index, names)
    # Only those: an INSERT locks an existing row, too, and other hosts with files for it would wait for the commit.
    if missing := sorted(names - found.keys()):
        index.executemany(index.insert_ignore("archiveacq", ("name",)), [(acq,) for acq in missing])
        found |= _acq_ids(index, missing)
    return found


def _acq_ids(index: Index, names: Iterable[str]) -> dict[str, int]:
    found = {}
    for name in names:
        row = index.execute("SELECT id, name FROM archiveacq WHERE name = ?", (name,)).fetchone()
        if row is not None and row[1] == name:
            found[name] = row[0]
    return found


def _with_owners_work(
    index: Index,
    node: NodeFact,
    differ: Sequence[tuple[KnownFile, int | None, Reason]],
    modified: Mapping[int, str],
) -> list[tuple[KnownFile, int | None, Reason]]:
    """Return the files that differ from the index, with COPY_CHANGED for those that their owners changed.

    What was found in place of a missing copy was not changed, but put there.  `modified`: that of `ImportResult`, by
    file id.
    """
    from alpenhorn.record.changed import changed, is_changed, origins_of  # few files differ

    origins = origins_of(index, node.id, {row.file_id: row.has_file for row, *_ in differ})
    return [
        (row, space_b, changed(why, modified[row.file_id]))
        if row.has_file in PRESENT and is_changed(origins[row.file_id], modified[row.file_id])
        else (row, space_b, why)
        for row, space_b, why in differ
    ]


def _contents(
    results: Sequence[ImportResult], rows: Mapping[tuple[str, str], KnownFile], deleting: Collection[int]
) -> Iterable[digests.Content]:
    """Yield the contents of the files that have the length and MD5 sum in the index."""
    for result in results:
        row = rows.get((result.file.acq, result.file.name))
        if result.sha256 and row is not None and row.file_id not in deleting and not _difference(result, row):
            assert result.size_b is not None and result.md5sum is not None
            yield digests.Content(row.file_id, result.size_b, result.md5sum, result.sha256)


def _difference(
    result: ImportResult, row: KnownFile, sha256: Mapping[int, str] = MappingProxyType({})
) -> Why:
    """Return how a file differs from the index, "" if not at all.  `sha256`: the known sums that differ, by file id."""
    if row.size_b != result.size_b:
        wrong = Code.COPY_LENGTH_WRONG(found=result.size_b, expected=row.size_b)
        return within(wrong, f"{wrong}; its MD5 sum is {result.md5sum}")
    if (row.md5sum or "").lower() != result.md5sum:
        return Code.COPY_MD5_WRONG(found=result.md5sum, expected=row.md5sum)
    if row.file_id in sha256:
        return Code.COPY_SHA256_WRONG(found=result.sha256, expected=sha256[row.file_id])
    return ""
