"""`alpenhorn node retire` and its cancellation, killed between their transactions."""

import re
import signal

import pytest

from tests.fixtures.archive import WHEN, Archive

pytestmark = pytest.mark.cluster

FEW, MANY = 2500, 5000  # files with too few copies elsewhere, in two pages, and all files
RETIRE = ("node", "retire", "old", "--into", "safe", "--into", "new", "--release", "--force")
CANCEL = ("node", "retire", "old", "--cancel", "--force")
# How a transaction ends: a flush of the file, or a message to the server.
CALLS = "fdatasync,fsync,write,sendto"
COMMIT = re.compile(r"(fdatasync|fsync)\(|.{,30}COMMIT")


@pytest.fixture
def filled(archive: Archive) -> Archive:
    """A node with many files, of which half are elsewhere, too; a person has requested one and released another."""
    for name in ("old", "safe", "new"):
        archive.node(name, archive=1)
    archive.node("field")
    acq = archive.insert("archiveacq", name="acq")
    old, safe, new = (archive.id("storagenode", name) for name in ("old", "safe", "new"))
    with archive.index.transaction():
        archive.index.executemany(
            "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered) VALUES (?, ?, ?, 1, ?, ?)",
            [(number, acq, f"f{number}", "0" * 32, WHEN) for number in range(1, MANY + 1)],
        )
        copies = [(number, old) for number in range(1, MANY + 1)]
        copies += [(number, node) for number in range(FEW + 1, MANY + 1) for node in (safe, new)]
        archive.index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            " VALUES (?, ?, 'Y', 'Y', 1, 1, ?)",
            [(*copy, WHEN) for copy in copies],
        )
    archive.request(1, "old", "field")
    archive.set_copy(2, "old", "YN")
    return archive


def undone(archive: Archive) -> None:
    """Set everything back as it was before the first retirement."""
    archive.do("DELETE FROM archivefilecopyrequest WHERE id > 1")
    archive.do("UPDATE archivefilecopyrequest SET cancelled = 0")
    archive.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE file_id <> 2")
    for table in ("sync_event", "sync_retirement", "sync_retirement_group"):
        archive.do(f"DELETE FROM {table}")
    archive.do("DELETE FROM sync_index WHERE name LIKE 'retirement %'")


def state(archive: Archive) -> tuple[int, int]:
    """The numbers of pending requests and of released copies, each of which was recorded once; not those of the
    person."""
    pending = archive.all(
        "SELECT file_id, group_to_id FROM archivefilecopyrequest WHERE completed = 0 AND cancelled = 0 AND id > 1"
    )
    assert len(pending) == len(set(pending))
    assert archive.state(1) == "pending" and archive.copy(2, "old") == "YN"
    released = archive.one("SELECT COUNT(*) FROM archivefilecopy WHERE wants_file = 'N' AND file_id <> 2")
    for what, code, number in (
        ("requested", "retirement-request", len(pending)),
        ("released", "retirement-release", released),
    ):
        events = archive.one("SELECT COUNT(*) FROM sync_event WHERE what = ? AND code = ?", what, code)
        assert events >= number, "a cancellation would not find all of them"
    return len(pending), released


def commits(archive: Archive, words: tuple[str, ...]) -> list[tuple[str, int]]:
    """Run a command; return its commits, each as the name of a call and its number among those of that name."""
    trace = archive.base / "trace"
    result = archive.run(*words, prefix=["strace", "-qq", "-o", str(trace), "-e", f"trace={CALLS}"])
    assert result.status == 0, result
    lines = trace.read_text().splitlines()
    calls = [line.partition("(")[0] for line in lines]
    return [
        (calls[number], calls[: number + 1].count(calls[number]))
        for number, line in enumerate(lines)
        if COMMIT.match(line)
    ]


def killed(archive: Archive, words: tuple[str, ...], call: str, number: int) -> None:
    prefix = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    running = archive.start(*words, prefix=[*prefix, "-e", f"inject={call}:signal=KILL:when={number}"])
    result = running.result()
    # A command may make fewer calls than the one that was traced.
    assert result.status in (-signal.SIGKILL, 0), result


def chosen(found: list[tuple[str, int]], number: int) -> list[tuple[str, int]]:
    """The first, the last, and others at even distances."""
    if len(found) <= number:
        return found
    return [found[index * (len(found) - 1) // (number - 1)] for index in range(number)]


@pytest.mark.kill
@pytest.mark.ci
def test_a_retirement_that_is_killed_between_its_pages_goes_on_or_is_cancelled(
    filled: Archive, long: bool
) -> None:
    found = commits(filled, RETIRE)
    whole = state(filled)
    assert whole == (2 * FEW, MANY - FEW)
    cancelling = commits(filled, CANCEL)
    assert state(filled) == (0, 0)
    partly = 0
    for turn, (call, number) in enumerate(chosen(found, 20 if long else 4)):
        undone(filled)
        killed(filled, RETIRE, call, number)
        partly += (0, 0) < state(filled) < whole
        if turn % 2:
            assert filled.run(*CANCEL).status == 0
            assert state(filled) == (0, 0)
            assert filled.one("SELECT COUNT(*) FROM sync_retirement") == 0
        else:
            assert filled.run(*RETIRE).status == 0
            assert state(filled) == whole
    assert partly, "no kill was between two pages"

    for call, number in chosen(cancelling, 10 if long else 2):
        undone(filled)
        assert filled.run(*RETIRE).status == 0
        killed(filled, CANCEL, call, number)
        assert filled.run(*CANCEL).status == 0
        assert state(filled) == (0, 0)
