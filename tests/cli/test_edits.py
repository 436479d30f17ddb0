"""What each command writes: an edit changes the columns that it means and no other, so that what a run or
another program changes in the same rows at the same moment is kept; and what only shows writes nothing."""

from __future__ import annotations

import logging
import re

import pytest

from tests.cli.conftest import Archive
from tests.cli.test_main import leaves

COPY = {"archivefilecopy.has_file", "archivefilecopy.wants_file", "archivefilecopy.last_update"}
CHECKED = COPY - {"archivefilecopy.wants_file"}
RELEASED = COPY - {"archivefilecopy.has_file"}
REQUESTED = {"+archivefilecopyrequest"}
EVIDENCE = {"+sync_verification"}
FORGOTTEN = {"-sync_attempt", "-sync_claim", "-sync_digest", "-sync_tally_part", "sync_verification.verified"}
CANCELLED = {"archivefilecopyrequest.cancelled", "+sync_event"}

# Commands on the filled archive, and what they write: a column, + before a table into which rows are put, -
# before one from which they are taken.
WRITES: dict[str, set[str]] = {
    "acq create fresh": {"+archiveacq"},
    "acq delete empty --force": {"-archiveacq"},
    "file clean pilot/good --node field1 --now": RELEASED,
    "file create new pilot --size 3 --md5 0123456789abcdef0123456789abcdef": {"+archivefile"},
    "file delete pilot/gone --force": {
        "-archivefile",
        "-archivefilecopy",
        "-archivefilecopyrequest",
        "-sync_attempt",
        "-sync_claim",
        "-sync_file_claim",
        "-sync_digest",
        "-sync_tally_part",
        "-sync_pin",
        "-sync_priority",
        "-sync_restore",
        "-sync_tape",
        "-sync_trash",
        "-sync_verification",
        "-sync_verified_status",
        "sync_event.file_id",
        "sync_event.why",
    },
    "file import pilot/other field1": {"+archivefileimportrequest"},
    "file modify pilot/good --size 7": {"archivefile.size_b", *CHECKED, *EVIDENCE, *FORGOTTEN},
    "file pin pilot/good": {"+sync_pin"},
    "file state pilot/good field1 --set Corrupt": {*COPY, *EVIDENCE, "archivefilecopy.ready"},
    "file sync pilot/good --from field1 --to offsite": REQUESTED,
    "file undelete pilot/gone": {"sync_trash.asked"},
    "file unpin pilot/pinned": {"-sync_pin"},
    "file verify pilot/good field1": CHECKED | EVIDENCE,
    "group autosync offsite field1": {"+storagetransferaction"},
    "group create new": {"+storagegroup"},
    "group modify offsite --notes new": {"storagegroup.notes"},
    "group rename offsite new": {"storagegroup.name"},
    "group sync offsite field1 --force": REQUESTED,
    "history --prune 1d --force": {"-sync_event"},
    "host create new": {"+storagehost"},
    "host delete alp2 --remove-nodes --force": {"storagenode.host_id", "-storagehost", "-sync_host"},
    "host modify alp1 --address new": {"storagehost.address"},
    "host rename alp1 new": {"storagehost.name"},
    "node activate off2": {"storagenode.active", "sync_node.manifest"},
    "node autoclean field1 offsite": {"+storagetransferaction"},
    "node clean field1 --now --force": RELEASED,
    "node create new --create-group": {"+storagenode", "+storagegroup"},
    "node deactivate field1": {"storagenode.active", "sync_node.manifest"},
    "node delete off2 --force": {
        "-sync_tally",
        "-archivefilecopy",
        "-archivefilecopyrequest",
        "-archivefileimportrequest",
        "-storagenode",
        "-storagetransferaction",
        "-sync_attempt",
        "-sync_backoff",
        "-sync_claim",
        "-sync_condition",
        "-sync_former_name",
        "-sync_index",
        "-sync_medium",
        "-sync_node",
        "-sync_pin",
        "-sync_priority",
        "-sync_restore",
        "-sync_tape",
        "-sync_retirement",
        "-sync_retirement_group",
        "-sync_trash",
        "-sync_verification",
        "-sync_verified_status",
    },
    "node init field1": {"+archivefileimportrequest"},
    "node modify field1 --min-avail 7": {"storagenode.min_avail_gb"},
    "node rename field1 new": {"storagenode.name", "+sync_former_name"},
    "node retire field1 --into offsite --release --force": {
        *REQUESTED,
        *RELEASED,
        "+sync_event",
        "+sync_retirement",
        "+sync_retirement_group",
        "-sync_retirement",
        "-sync_retirement_group",
        "sync_retirement.compared_at",
        "sync_retirement.event_id",
        "sync_retirement.stuck",
        "sync_retirement.nowhere",
        "+sync_index",
        "-sync_index",
    },
    "node scan field1": {"+archivefileimportrequest"},
    "node sync field1 offsite --force": REQUESTED,
    "node sync field1 spare --cancel --force": CANCELLED,
    "node undelete off1 --force": {"sync_trash.asked"},
    "node verify field1 --force": CHECKED,
    "policy create new --copies 2": {"+sync_policy", "-sync_policy_acq", "-sync_policy_group"},
    "policy delete rare --force": {"-sync_policy", "-sync_policy_acq", "-sync_policy_group"},
    "policy modify rare --copies 3": {"sync_policy.copies"},
    "repair --force": REQUESTED,
    "request cancel 1": CANCELLED,
    "request prioritise 1 5": {"+sync_priority", "+sync_index"},
    "request retry --all": {"-sync_attempt", "-sync_backoff"},
    "rules check --apply --force": {*REQUESTED, *RELEASED, "+sync_event"},
}
SHOWS = {
    "acq files pilot",
    "acq list",
    "acq show pilot",
    "config show",
    "config validate",
    "crontab",
    "db check",
    "file find",
    "file list --node field1 --all",
    "file show pilot/good --all",
    "group list",
    "group show field --all",
    "help",
    "history",
    "host list",
    "host show alp1",
    "node list",
    "node risk field1",
    "node show field1 --all",
    "node stats",
    "plugins",
    "policy list",
    "policy show rare",
    "request list",
    "request show 1",
    "status",
}
# Creation and runs, each with tests of its own.
OTHERS = {
    "config convert",
    "db backup",
    "db init",
    "db rebuild",
    "db upgrade",
    "doctor",
    "export bagit",
    "init",
    "metrics",
    "node manifest",
    "node replace",
    "notify test",
    "plan",
    "policy check",
    "reconcile",
    "report",
    "sync",
}


@pytest.fixture
def filled(archive: Archive) -> Archive:
    archive.index.execute("UPDATE storagehost SET address = 'a', username = 'u'")
    asked = archive.file("asked", field1="YY", off1="XY")
    archive.once_good(asked, "off1")
    archive.request(asked, group="spare")
    archive.attempt(1)
    archive.file("good", field1="YY")
    archive.once_good(archive.file("bad", field1="XY", off1="YY"), "field1")
    gone = archive.file("gone", off1="NN")
    archive.insert(
        "sync_trash",
        node_id=archive.id("storagenode", "off1"),
        file_id=gone,
        batch="20260722T000000Z-1-1",
        trashed="2026-07-22 00:00:00",
        size_b=1,
    )
    archive.insert("archiveacq", name="empty")
    pinned = archive.file("pinned", field1="YY")
    at = "2026-07-22 10:00:00"
    for _ in range(2):  # the newest is never removed
        archive.insert("sync_event", at=at, file_id=pinned, node_id=1, what="pulled", why="asked for")
    archive.insert("sync_policy", name="rare", copies=2, sites=1, min_age=0, priority=0)
    archive.insert("sync_pin", file_id=pinned, node_id=0, pinned=at)
    archive.insert(
        "storagetransferaction",
        node_from_id=archive.id("storagenode", "off1"),
        group_to_id=archive.id("storagegroup", "spare"),
        autosync=1,
        autoclean=0,
    )
    return archive


def test_every_command_is_among_these() -> None:
    assert not set(WRITES) & SHOWS
    lines = [*WRITES, *SHOWS, *OTHERS]
    assert [name for name in leaves() if not any(f"{line} ".startswith(f"{name} ") for line in lines)] == []


def writes(archive: Archive, caplog: pytest.LogCaptureFixture, line: str) -> set[str]:
    """Run a command that must succeed; what it wrote, as above."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "peewee"):
        archive.ok(*line.split())
    found = set()
    for record in caplog.records:
        sql = str(record.msg[0]) if isinstance(record.msg, tuple) else ""
        words = sql.split()
        match words[0].upper() if words else "":
            case "UPDATE":
                target = re.search(r"UPDATE (\w+) ", sql)
                table = target[1] if target else ""
                if "STRAIGHT_JOIN" in sql or "JOIN" in sql.split(" SET ")[0]:
                    (table,) = re.findall(r"JOIN (\w+) u", sql)
                settings = re.split(r"\sWHERE\s", re.split(r"\sSET\s", sql, maxsplit=1)[1])[0]
                found |= {
                    f"{table}.{column}" for column in re.findall(r"(?:^|,)\s*(?:u\.)?(\w+) =", settings)
                }
            case "INSERT":
                found.add("+" + words[words.index("INTO") + 1])
            case "DELETE":
                found.add("-" + words[words.index("FROM") + 1])
    return found


@pytest.mark.parametrize("line", WRITES)
def test_an_edit_writes_what_it_means_and_no_other_column(
    filled: Archive, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    before = filled.rows()
    written = writes(filled, caplog, line)
    assert written and written <= WRITES[line]
    after = filled.rows()
    tables = {re.split(r"[.]", what.strip("+-"))[0] for what in WRITES[line]}
    assert {table for table in before if before[table] != after[table]} <= tables
    assert before != after


@pytest.mark.parametrize("line", sorted(SHOWS))
def test_command_that_only_shows_writes_nothing_to_the_index(
    filled: Archive, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    before = filled.rows()
    assert writes(filled, caplog, line) == set()
    assert filled.rows() == before
