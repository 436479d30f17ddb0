"""Verified statuses in the index: recorded with the verification, and not relied on once anything is in doubt."""

from __future__ import annotations

from typing import Any

import pytest

from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.imports import ImportFile, ImportResult
from alpenhorn.model.nodes import Identity
from alpenhorn.model.pulls import Method, PullFile, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code
from alpenhorn.record import checks, imports, media, pulls
from alpenhorn.record.run import Run
from alpenhorn.record.verified_status import VerifiedFile, keep
from alpenhorn.scan.verified_status import known_statuses
from tests.fixtures.rows import MD5, Rows
from tests.record.test_pulls import hold

STATUS, NEW = "boot 1 10 2 3", "boot 1 10 2 4"
READ = "2026-02-03 04:05:06"  # when the copies were last read


@pytest.fixture
def seen(rows: Rows) -> Rows:
    """The media of the nodes field and one are known."""
    medium(rows, medium="a" * 32)
    return rows


def medium(rows: Rows, **columns: Any) -> None:
    rows.insert(
        "sync_medium", node_id=rows.node["field"], generation=1, separate=0, looked=0, lost=0, **columns
    )


def known(rows: Rows, file_id: int, node: str = "field", sha256: str | None = None) -> str:
    return known_statuses(rows.index, rows.node[node], {file_id: sha256}).get(file_id, "")


def kept(rows: Rows, *, sha256: str = "", status: str = STATUS) -> int:
    """Return the id of a file whose copy on the node field has a status."""
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    rows.insert("sync_verification", file_id=file_id, node_id=rows.node["field"], verified=READ)
    with rows.index.transaction():
        keep(rows.index, rows.node["field"], [VerifiedFile(file_id, MD5, sha256, status)])
    return file_id


def test_the_newest_status_of_each_copy_is_known(seen: Rows) -> None:
    file_id = kept(seen)
    assert known(seen, file_id) == STATUS
    assert known(seen, file_id, "one") == "" and known(seen, 999) == ""
    with seen.index.transaction():
        keep(seen.index, seen.node["field"], [VerifiedFile(file_id, MD5, "", NEW)])
    assert known(seen, file_id) == NEW


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE archivefile SET md5sum = '00000000000000000000000000000000'",
        "UPDATE archivefile SET md5sum = NULL",
        "UPDATE sync_medium SET medium = '00000000000000000000000000000000'",
        "UPDATE sync_medium SET wrong = '2026-01-02 03:04:05'",
        "UPDATE sync_medium SET distrust = 'compare'",
        "DELETE FROM sync_medium",
        "DELETE FROM archivefile",
    ],
)
def test_a_status_is_not_relied_on_in_doubt(seen: Rows, change: str) -> None:
    file_id = kept(seen)
    assert known(seen, file_id)
    if not seen.index.dialect.in_a_file:
        seen.index.execute("SET SESSION foreign_key_checks = 0")
    seen.index.execute(change)
    assert known(seen, file_id) == ""


def test_a_medium_that_is_not_known_or_in_doubt_gets_no_status(rows: Rows) -> None:
    """What is recorded on a node that is being compared would count again after the comparison."""
    assert known(rows, kept(rows)) == ""
    medium(rows, medium="a" * 32, distrust="compare")
    with rows.index.transaction():
        keep(rows.index, rows.node["field"], [VerifiedFile(1, MD5, "", STATUS)])
    assert rows.all("SELECT * FROM sync_verified_status") == []


def test_a_wanted_sha256_sum_must_have_been_computed(seen: Rows) -> None:
    file_id = kept(seen, sha256="1a" * 32)
    assert known(seen, file_id) == STATUS and known(seen, file_id, sha256="1a" * 32) == STATUS
    assert known(seen, file_id, sha256="2b" * 32) == ""
    assert known(seen, file_id, sha256="") == ""  # it is to be computed


def test_a_status_without_the_sha256_sum_does_not_prove_it(seen: Rows) -> None:
    file_id = kept(seen)
    assert known(seen, file_id, sha256="1a" * 32) == "" and known(seen, file_id, sha256="") == ""


def test_exchanged_and_restored_media_have_none(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    media.distrust(seen.index, seen.node["field"], media.COMPARE, "why")
    media.compared(seen.index, [seen.node["field"]])
    assert known(seen, file_id) == ""

    file_id = seen.file("b")
    with seen.index.transaction():
        keep(seen.index, seen.node["field"], [VerifiedFile(file_id, MD5, "", STATUS)])
    assert known(seen, file_id)
    identity = Identity("", "c" * 32, 2, "word")
    media.exchanged(seen.index, run, seen.fact("field"), identity, Code.MEDIUM_EXCHANGED(node="field"))
    assert seen.all("SELECT * FROM sync_verified_status") == []


def checked(rows: Rows, run: Run, file_id: int, verdict: Verdict, **more: Any) -> None:
    (copy_id,) = rows.all("SELECT id FROM archivefilecopy WHERE file_id = ?", file_id)[0]
    file = CheckFile(copy_id, file_id, "acq/a", 10, MD5.upper(), "Y")
    checks.settle(rows.index, run, rows.fact("field"), [CheckResult(file, verdict, **more)])


def test_a_check_records_the_status_of_a_good_copy(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    checked(seen, run, file_id, Verdict.GOOD, verified_status=NEW)
    assert known(seen, file_id) == NEW


@pytest.mark.parametrize("verdict", [Verdict.CORRUPT, Verdict.UNREADABLE, Verdict.MISSING])
def test_a_copy_that_was_not_found_good_has_none(seen: Rows, run: Run, verdict: Verdict) -> None:
    """Its bytes may have rotted, which changes no time."""
    file_id = kept(seen)
    checked(seen, run, file_id, verdict, error=Code.COPY_MISSING())
    assert known(seen, file_id) == ""


def test_a_check_that_could_not_be_done_proves_nothing_new(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    checked(seen, run, file_id, Verdict.FAILED, error=Code.COPY_MISSING())
    assert known(seen, file_id) == STATUS


@pytest.mark.parametrize("md5sum", [MD5, "0" * 32])
def test_an_import_records_the_status_of_a_good_copy_only(seen: Rows, run: Run, md5sum: str) -> None:
    file_id = kept(seen)
    file = ImportFile("acq/a", "acq", "a")
    result = ImportResult(file, Verdict.HASHED, 10, md5sum, 4096, verified_status=NEW)
    imports.settle(seen.index, run, seen.fact("field"), [result])
    assert known(seen, file_id) == (NEW if md5sum == MD5 else "")


def linked(rows: Rows, run: Run, file_id: int, **more: Any) -> None:
    request_id = rows.request(file_id, "field", "one")
    hold(rows, run, file_id)
    file = PullFile(request_id, file_id, "acq/a", 10, MD5, verified_status=STATUS)
    result = PullResult(file, Verdict.PULLED, 1.0, 2.0, **{"method": Method.LINK, **more})
    assert pulls.settle(rows.index, run, rows.fact("field"), rows.fact("one"), [result])


def read(rows: Rows, file_id: int) -> list[str]:
    sql = "SELECT verified FROM sync_verification WHERE file_id = ? AND node_id = ?"
    return [str(at) for (at,) in rows.all(sql, file_id, rows.node["one"])]


def test_a_link_gives_both_copies_the_new_status(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    linked(seen, run, file_id, verified_status=NEW)
    assert known(seen, file_id) == known(seen, file_id, "one") == NEW
    assert seen.state(file_id, "one") == "YY" and read(seen, file_id) != [READ]


def test_a_copy_has_a_status_of_its_own(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    linked(seen, run, file_id, method=Method.COPY, verified_status=NEW)
    assert known(seen, file_id) == STATUS and known(seen, file_id, "one") == NEW


def test_an_unread_link_counts_as_read_when_its_source_was(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    linked(seen, run, file_id, unread=True)
    assert seen.state(file_id, "one") == "YY" and read(seen, file_id) == [READ]
    assert (
        "hard link, unread from field" in seen.all("SELECT why FROM sync_event WHERE what = 'pulled'")[0][0]
    )
    assert known(seen, file_id, "one") == ""  # the worker could not prove it


def test_an_unread_link_of_a_copy_without_a_verification_counts_as_never_read(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    seen.index.execute("DELETE FROM sync_verification")
    linked(seen, run, file_id, unread=True)
    assert seen.state(file_id, "one") == "YY" and read(seen, file_id) == ["1970-01-01 00:00:00"]


def test_an_unread_link_is_suspect_if_its_source_was_found_wrong_meanwhile(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    checked(seen, run, file_id, Verdict.CORRUPT, error=Code.COPY_MISSING())
    linked(seen, run, file_id, unread=True, verified_status=NEW)
    assert seen.state(file_id, "one") == "MY"
    assert known(seen, file_id) == known(seen, file_id, "one") == ""
    assert seen.all("SELECT completed FROM archivefilecopyrequest") == [(0,)]


def test_a_source_that_is_to_blame_has_none(seen: Rows, run: Run) -> None:
    file_id = kept(seen)
    request_id = seen.request(file_id, "field", "one")
    hold(seen, run, file_id)
    file = PullFile(request_id, file_id, "acq/a", 10, MD5)
    result = PullResult(file, Verdict.FAILED, 1.0, 2.0, blame=Blame.SOURCE, error=Code.SOURCE_NOT_REGULAR())
    pulls.settle(seen.index, run, seen.fact("field"), seen.fact("one"), [result])
    assert known(seen, file_id) == ""
