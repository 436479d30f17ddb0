"""Files that their owners changed after they were registered: nothing replaces or deletes them without a decision."""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archive import Archive

OLD = b"as it was registered"
NEW = b"as its owner wrote it later"
SAME_LENGTH = b"AS IT WAS REGISTERED"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Owned(Archive):
    """acq/f with good copies on the archive nodes near, safe and vault of this host."""

    file_id: int


@pytest.fixture
def owned(archive: Any) -> Any:
    for node in ("near", "safe", "vault"):
        archive.node(node, archive=1)
    archive.file_id = archive.file("acq/f", OLD, "near", "safe", "vault")
    return archive


def path_on(archive: Any, node: str) -> Path:
    return Path(archive.root(node) / "acq/f")


def checked(archive: Any, node: str = "safe") -> Any:
    """Have a copy checked, and return the result of the run."""
    assert archive.run("file", "verify", "acq/f", node).status == 0
    return archive.sync("--only", "check")


def changed(archive: Any, content: bytes = NEW, node: str = "safe") -> Any:
    """Change a file as its owner does, and have it found."""
    archive.change(node, "acq/f", content)
    result = checked(archive, node)
    assert result.status == 1 and f"the file on {node} was changed" in result.err, result
    assert f"alpenhorn file modify FILE --from-copy {node}" in result.err
    assert archive.copy(archive.file_id, node) == "XY"  # as the daemon knows it: not a good copy
    return result


def untouched(archive: Any, content: bytes = NEW, node: str = "safe") -> None:
    assert path_on(archive, node).read_bytes() == content
    assert archive.copy(archive.file_id, node) == "XY"


@pytest.mark.parametrize("content", [NEW, SAME_LENGTH], ids=["length", "bytes"])
def test_a_file_that_its_owner_changed_is_not_corrupt(owned: Any, content: bytes) -> None:
    result = changed(owned, content)
    assert md5(content) in result.err or str(len(content)) in result.err
    assert "corrupt" not in result.err
    assert [what for what, _ in events(owned)] == ["suspect", "changed"][-1:]
    shown = owned.run("file", "show", "acq/f", "--nodes").out
    assert "Changed" in shown and "Corrupt" not in shown
    assert "Changed" in owned.run("file", "state", "acq/f", "safe").out
    assert "Changed" in owned.run("file", "find", "--changed").out
    assert "Changed" in owned.run("file", "list", "--node", "safe", "--corrupt", "--details").out
    assert "Changed" in owned.run("acq", "files", "acq", "--node", "safe").out
    assert "No such copies" in owned.run("file", "find", "--changed", "--node", "near").out

    # No run and no repair replaces it, and it is no source.
    repaired = owned.run("repair", "--force")
    assert repaired.status == 1 and "changed after it was registered" in repaired.out.replace("\n", " ")
    request = owned.request(owned.file_id, "near", "safe")
    for _ in range(2):
        result = owned.sync()
        assert "changed after it was registered" in result.err
        assert owned.state(request) == "pending"
    assert "repair --node safe --replace" in " ".join(owned.run("request", "show", str(request)).out.split())
    untouched(owned, content)
    owned.node("other")
    from_it = owned.request(owned.file_id, "safe", "other")
    owned.sync()
    assert (
        owned.state(from_it) == "done" and path_on(owned, "other").read_bytes() != content
    )  # from another node

    # It stays changed when it is checked again, also after the history was pruned.
    assert owned.run("history", "--prune", "0", "--force").status == 0
    checked(owned)
    assert "Changed" in owned.run("file", "find", "--changed").out
    untouched(owned, content)


def events(archive: Any) -> list[tuple[str, int]]:
    return [
        (what, node)
        for what, node in archive.all("SELECT what, node_id FROM sync_event ORDER BY id")
        if what in ("changed", "corrupt", "kept")
    ]


def test_data_that_rots_is_corrupt_and_replaced(owned: Any) -> None:
    owned.put("safe", "acq/f", SAME_LENGTH)  # the modification time stays
    result = checked(owned)
    assert "corrupt on safe" in result.err and "changed" not in result.err
    assert owned.run("repair", "--force").status == 0
    owned.synced()
    assert path_on(owned, "safe").read_bytes() == OLD and owned.copy(owned.file_id, "safe") == "YY"


def test_new_times_alone_change_nothing(owned: Any) -> None:
    os.utime(path_on(owned, "safe"))
    assert checked(owned).status == 0
    assert owned.copy(owned.file_id, "safe") == "YY"
    # Data that rots after that is corrupt: the copy was good when it was last read.
    os.utime(path_on(owned, "safe"), (1_780_000_000, 1_780_000_000))
    owned.put("safe", "acq/f", SAME_LENGTH)
    assert "corrupt on safe" in checked(owned).err


def test_no_date_in_the_future_is_believed(owned: Any) -> None:
    """A copy that was verified by a wrong clock, and a file registered by one."""
    owned.once_good(owned.file_id, "safe")
    owned.do("UPDATE sync_verification SET verified = '2036-01-01 00:00:00'")
    changed(owned)
    untouched(owned)
    owned.do("UPDATE archivefile SET registered = '2036-01-01 00:00:00'")
    changed(owned, node="vault")
    # A time of the file in the future, as an instrument with a wrong clock sets, is no sign of a change.
    os.utime(path_on(owned, "near"), (2_082_758_400, 2_082_758_400))
    assert checked(owned, "near").status == 0


def test_a_changed_file_is_recognised_by_an_import(owned: Any) -> None:
    owned.change("safe", "acq/f", NEW)
    assert owned.run("file", "import", "acq/f", "safe").status == 0
    result = owned.sync()
    assert result.status == 1 and "the file on safe was changed" in result.err, result
    untouched(owned)
    assert "Changed" in owned.run("file", "find", "--changed").out


def test_a_file_that_changes_after_it_was_found_corrupt_is_not_replaced(owned: Any) -> None:
    owned.put("safe", "acq/f", SAME_LENGTH)
    checked(owned)
    assert owned.run("repair", "--force").status == 0
    owned.change("safe", "acq/f", NEW)
    for _ in range(2):
        owned.sync()
    untouched(owned)
    assert "Changed" in owned.run("file", "find", "--changed").out


@pytest.mark.parametrize("content", [NEW, SAME_LENGTH], ids=["length", "bytes"])
@pytest.mark.parametrize("state", ["YN", "XN"])
def test_a_released_copy_that_its_owner_changed_is_not_deleted(
    owned: Any, content: bytes, state: str
) -> None:
    owned.set_copy(owned.file_id, "safe", state)
    if state == "XN":
        owned.once_good(owned.file_id, "safe")
    owned.change("safe", "acq/f", content)
    for _ in range(3):
        owned.sync()
        owned.forget_attempts()
    assert path_on(owned, "safe").read_bytes() == content
    assert owned.copy(owned.file_id, "safe") == "XN"
    assert {what for what, _ in events(owned)} == {"changed"}


def test_a_released_copy_with_new_times_is_read_and_then_deleted(owned: Any) -> None:
    os.utime(path_on(owned, "safe"), (1_780_000_000, 1_780_000_000))
    owned.set_copy(owned.file_id, "safe", "YN")
    owned.sync()
    assert owned.all("SELECT * FROM sync_attempt") == []  # the reading was what the deletion waited for
    owned.synced()
    assert not path_on(owned, "safe").exists() and owned.copy(owned.file_id, "safe") == "NN"


# --- decisions ------------------------------------------------------------------------------------------


def test_the_new_contents_are_accepted(owned: Any) -> None:
    changed(owned)
    asked = owned.run("file", "modify", "acq/f", "--from-copy", "safe")
    assert asked.status == 1 and "use --force" in asked.err
    assert "The old contents, on near, vault, will be replaced and lost." in asked.err + asked.out
    assert md5(NEW) in owned.run("file", "modify", "acq/f", "--from-copy", "safe", "--check").out
    assert owned.run("file", "modify", "acq/f", "--from-copy", "safe", "--force", "--no-reverify").status == 2
    untouched(owned)
    done = owned.run("file", "modify", "acq/f", "--from-copy", "safe", "--force")
    assert done.status == 0 and md5(NEW) in done.out, done
    assert owned.one("SELECT md5sum FROM archivefile") == md5(NEW)
    assert owned.copy(owned.file_id, "safe") == owned.copy(owned.file_id, "near") == "MY"
    assert owned.sync().status == 1  # the old copies are corrupt now
    assert owned.copy(owned.file_id, "safe") == "YY" and owned.copy(owned.file_id, "near") == "XY"
    assert path_on(owned, "near").read_bytes() == OLD, "kept until somebody asks for a repair"
    assert owned.run("repair", "--force").status == 0
    owned.synced()
    assert owned.tree("near") == owned.tree("safe") == owned.tree("vault") == {"acq/f": NEW}
    assert owned.violations() == []
    # The next change is a change again.
    changed(owned, SAME_LENGTH)


def test_a_file_changed_on_two_nodes_is_decided_once_and_loses_nothing(owned: Any) -> None:
    changed(owned)
    changed(owned, SAME_LENGTH, "vault")
    assert owned.run("file", "modify", "acq/f", "--from-copy", "safe", "--force").status == 0
    owned.sync()
    owned.sync()
    assert owned.copy(owned.file_id, "safe") == "YY"
    untouched(owned, SAME_LENGTH, "vault")
    assert "vault" in owned.run("file", "find", "--changed").out
    assert owned.run("repair", "--force", "--replace").status == 0
    owned.sync()
    assert path_on(owned, "vault").read_bytes() == NEW
    assert list(kept(owned, "vault").values()) == [SAME_LENGTH]


def test_what_changes_while_it_is_accepted_is_another_change(owned: Any) -> None:
    changed(owned)
    assert owned.run("file", "modify", "acq/f", "--from-copy", "safe", "--force").status == 0
    owned.change("safe", "acq/f", NEW + b" and again")
    result = owned.sync()
    assert "the file on safe was changed" in result.err
    assert "Changed" in owned.run("file", "find", "--changed").out
    assert path_on(owned, "safe").read_bytes() == NEW + b" and again"
    # The owner puts the accepted contents back.
    owned.change("safe", "acq/f", NEW)
    assert "registered contents" in owned.run("file", "modify", "acq/f", "--from-copy", "safe").err
    checked(owned)
    assert owned.copy(owned.file_id, "safe") == "YY"


def test_only_what_is_still_as_it_was_read_is_accepted(owned: Any) -> None:
    changed(owned)
    owned.do("UPDATE archivefilecopy SET has_file = 'Y'")
    result = owned.run("file", "modify", "acq/f", "--from-copy", "safe")
    assert result.status == 1 and "nothing was changed" in result.err
    owned.do("UPDATE archivefilecopy SET has_file = 'X'")
    # A copy that rotted is not the work of its owner.
    assert "the copy is corrupt" in owned.run("file", "modify", "acq/f", "--from-copy", "near", "--force").err


def kept(archive: Any, node: str = "safe") -> dict[str, bytes]:
    """Return the changed files that were kept under other names."""
    return {
        str(path.relative_to(archive.root(node))): path.read_bytes()
        for path in archive.root(node).rglob(".*.changed-*")
        if ".alpenhorn" not in path.parts
    }


def test_the_old_contents_are_brought_back_and_the_new_ones_kept(owned: Any) -> None:
    owned.node("auto", archive=1, auto_import=1)
    owned.file("acq/g", b"another", "auto")
    file_id, owned.file_id = owned.file_id, owned.file_id
    changed(owned)
    os.utime(path_on(owned, "safe"), (1_800_000_000, 1_800_000_000))
    taken = owned.root("safe") / "acq/.f.changed-20270115T080000Z"
    taken.write_bytes(b"taken")
    check = owned.run("repair", "--replace", "--check")
    assert check.status == 0 and owned.pending() == 0
    done = owned.run("repair", "--replace", "--force", "--file", "acq/f")
    assert done.status == 0 and "1 changed file will be kept as .NAME.changed-TIME" in done.out, done
    result = owned.sync()
    assert "acq/.f.changed-20270115T080000Z-2" in result.err, result
    assert owned.copy(file_id, "safe") == "YY" and path_on(owned, "safe").read_bytes() == OLD
    assert kept(owned) == {
        "acq/.f.changed-20270115T080000Z": b"taken",
        "acq/.f.changed-20270115T080000Z-2": NEW,
    }
    assert "kept" in owned.run("history", "--file", "acq/f").out
    assert owned.violations() == [] and owned.stray("safe") == []
    # Imports ignore it.
    assert owned.run("node", "scan", "safe", "--register-new").status == 0
    owned.sync()
    assert owned.one("SELECT COUNT(*) FROM archivefile") == 2


def test_a_file_that_changes_again_before_it_is_replaced_is_kept(owned: Any) -> None:
    """The owner writes it again after the decision, and once more after the pull."""
    changed(owned)
    assert owned.run("repair", "--replace", "--force").status == 0
    owned.change("safe", "acq/f", NEW + b"!")
    owned.sync()
    assert path_on(owned, "safe").read_bytes() == OLD and list(kept(owned).values()) == [NEW + b"!"]
    changed(owned, SAME_LENGTH)
    assert owned.run("repair", "--force").status == 1, "each decision is for one change"
    untouched(owned, SAME_LENGTH)


@pytest.mark.parametrize("call", [1, 2])
def test_a_killed_replacement_is_completed(owned: Any, call: int) -> None:
    """The worker is killed before the changed file is renamed, or before the old contents take its place."""
    changed(owned)
    assert owned.run("repair", "--replace", "--force").status == 0
    said = owned.base / "strace.said"
    prefix = ["strace", "-f", "-qq", "-o", str(said), f"--trace-path={owned.root('safe') / 'acq'}"]
    prefix += ["-e", "trace=renameat2", "-e", f"inject=renameat2:signal=KILL:when={call}"]
    assert owned.sync(prefix=prefix).status == 1
    assert "killed by SIGKILL" in said.read_text()
    if call == 1:
        untouched(owned)
    owned.forget_attempts()
    owned.sync()
    assert path_on(owned, "safe").read_bytes() == OLD and list(kept(owned).values()) == [NEW]
    assert owned.copy(owned.file_id, "safe") == "YY" and owned.stray("safe") == []


def test_status_lists_changed_copies_with_commands_that_work(owned: Any) -> None:
    changed(owned)
    items = owned.run("status", "--json").json["attention"]
    (item,) = [one for one in items if one["code"] == "copies-changed"]
    assert "corrupt" not in {one["code"] for one in items}
    assert owned.run(*shlex.split(item["command"])[1:]).out.count("acq/f") == 1
    told = item["what"]
    replace = shlex.split(told[told.index("alpenhorn repair") :].partition(";")[0])[1:]
    assert owned.run(*replace, "--check").status == 0
    accept = shlex.split(told[told.index("alpenhorn file modify") :].partition(";")[0])[1:]
    assert owned.run(*accept, "--check").status == 0


def test_a_changed_file_on_another_host_is_decided_there_or_replaced_from_here(archive: Any) -> None:
    archive.node("near", archive=1)
    archive.node("far", archive=1, host="there")
    archive.file_id = archive.file("acq/f", OLD, "near", "far")
    archive.change("far", "acq/f", NEW)
    assert archive.run("file", "verify", "acq/f", "far").status == 0
    assert "the file on far was changed" in archive.sync("--only", "check", host="there").err
    refused = archive.run("file", "modify", "acq/f", "--from-copy", "far")
    assert refused.status == 1 and "on host there; run this command there" in refused.err
    done = archive.run("file", "modify", "acq/f", "--from-copy", "far", "--check", host="there")
    assert done.status == 0 and md5(NEW) in done.out
    # far's decision needs no access to its disk; its own run carries it out.
    archive.do("UPDATE storagehost SET address = 'localhost', username = 'nobody'")
    assert archive.run("repair", "--replace", "--force").status == 0 and archive.pending() == 1
    assert path_on(archive, "far").read_bytes() == NEW
