"""An archive in which there is something of everything that can be shown."""

from __future__ import annotations

import hashlib

from tests.fixtures.archive import Archive


def fill(archive: Archive) -> None:
    """Nodes src, dst (an archive), gone (no root), odd and even (no such class), disk (an archive
    where none should be) on this host, far on another one."""
    archive.host("here", address="127.0.0.1", username="me", notes="this one")
    archive.node("src", notes="new", io_config='{"jobs": 2}', max_total_gb=10, min_avail_gb=0.001)
    archive.node("dst", archive=1)
    archive.node("gone", made=False)
    archive.node("odd", io_class="NoSuchClass")
    archive.node("even")
    archive.do("UPDATE storagegroup SET io_class = 'NoSuchClass' WHERE name = 'even'")
    archive.node("disk", archive=1)
    archive.do("UPDATE storagegroup SET io_class = 'Transport' WHERE name = 'disk'")
    archive.node("far", host="there")
    archive.do("UPDATE storagegroup SET notes = 'kept', io_config = '{\"a\": 1}' WHERE name = 'dst'")
    pulled = archive.file("acq/pulled", b"p" * 1000, "src")
    archive.do("UPDATE archiveacq SET comment = 'of the test'")
    archive.request(pulled, "src", "dst")
    archive.synced("--node", "src", "--node", "dst")
    archive.do("UPDATE sync_run SET ending = 'the time limit was reached'")

    archive.do(
        "UPDATE sync_node SET absent_ok = 30, top_acq = 'loose', site = 'town' WHERE node_id = ?",
        archive.id("storagenode", "src"),
    )

    good = archive.file("acq/good", b"g", "src")
    sums = (hashlib.md5(b"g").hexdigest(), hashlib.sha256(b"g").hexdigest())
    archive.insert("sync_digest", file_id=good, size_b=1, md5sum=sums[0], sha256=sums[1])
    pending = archive.request(good, "src", "dst")
    failing = archive.request(archive.file("acq/hard", b"h", "far"), "far", "dst")
    cancelled = archive.request(archive.file("acq/not", b"n", "src"), "src", "dst")
    archive.do("UPDATE archivefilecopyrequest SET cancelled = 1 WHERE id = ?", cancelled)
    assert pending == 2
    archive.insert(
        "sync_trash",
        node_id=archive.id("storagenode", "src"),
        file_id=good,
        batch="20260722T100000Z-1-1",
        trashed="2026-07-22 10:00:00",
        size_b=512,
        asked="2026-07-22 11:00:00",
    )
    # What `db check` tells of with a code.
    gone = archive.request(good, "src", "dst")
    archive.do("UPDATE archivefilecopyrequest SET cancelled = 1, file_id = 999999 WHERE id = ?", gone)
    unwell = {
        name: archive.file(f"acq/{name}", b"b", "src", "dst") for name in ("bad", "asked", "lost", "doubt")
    }
    archive.set_copy(unwell["bad"], "dst", "XY")
    archive.once_good(unwell["bad"], "dst")
    archive.set_copy(unwell["asked"], "dst", "NY")
    archive.request(unwell["asked"], "src", "dst")
    archive.set_copy(unwell["lost"], "src", "NN")
    archive.set_copy(unwell["lost"], "dst", "NY")
    archive.set_copy(unwell["doubt"], "src", "MY")
    archive.set_copy(archive.file("acq/released", b"r", "src", "dst"), "src", "YN")
    for kind, subject in (("pull", failing), ("import", the_import(archive))):
        archive.insert(
            "sync_attempt",
            kind=kind,
            subject_id=subject,
            count=2,
            last="2026-07-22 12:00:00",
            next="2100-01-01 00:00:00",
            blame="source",
            error="was not to be had",
        )
    archive.insert(
        "sync_backoff",
        host="here",
        kind="host",
        subject_id=archive.id("storagehost", "there"),
        count=2,
        last="2026-07-22 12:00:00",
        next="2026-07-22 13:00:00",
        error="no route",
    )
    archive.insert(
        "sync_condition",
        host="here",
        code="node-left-out",
        subject="gone",
        why="node gone is left out: it has no root",
        began="2026-07-22 10:00:00",
        seen="2026-07-22 12:00:00",
    )
    archive.insert(
        "sync_pin",
        file_id=good,
        node_id=archive.id("storagenode", "src"),
        reason="because",
        pinned="2026-07-22 10:00:00",
        until="2100-01-01 00:00:00",
    )
    archive.to_tape(
        good,
        "src",
        batch="1-1-0123456789abcdef",
        since="2026-07-22 10:00:00",
        tries=1,
        next="2026-07-22 11:00:00",
        error="the tape was away",
        code="tape-away",
    )
    policy = archive.insert("sync_policy", name="rare", copies=2, sites=1, min_age=3600, priority=1)
    archive.insert("sync_policy", name="scarce", copies=3, sites=2, min_age=3_000_000_000, priority=0)
    archive.insert("sync_policy_acq", policy_id=policy, pattern="none*")
    for required in (0, 1):
        archive.insert(
            "sync_policy_group",
            policy_id=policy,
            group_id=archive.id("storagegroup", "dst"),
            required=required,
        )
    archive.insert(
        "storagetransferaction",
        node_from_id=archive.id("storagenode", "src"),
        group_to_id=archive.id("storagegroup", "dst"),
        autosync=1,
        autoclean=1,
    )


def the_import(archive: Archive) -> int:
    return archive.insert(
        "archivefileimportrequest",
        node_id=archive.id("storagenode", "src"),
        path="acq/new",
        recurse=0,
        register=1,
        completed=0,
        timestamp="2026-07-22 10:00:00",
    )


def few_inodes(archive: Archive) -> None:
    """Let node src have next to no free inodes."""
    node_id = archive.id("storagenode", "src")
    archive.do(
        "UPDATE storagenode SET avail_gb_last_checked = ? WHERE id = ?", "2026-01-02 03:04:05", node_id
    )
    archive.insert("sync_index", name=f"inodes {node_id}", value="17", at="2026-01-02 03:04:05")
