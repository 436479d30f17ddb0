"""The check of copies on other hosts just before one is removed, through a real ssh server."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.extensions.registry import node_io
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.tasks import Task, TaskKind, Verdict
from alpenhorn.workers.delete import delete
from alpenhorn.workers.worker import Worker
from tests.fixtures.archive import stand_in
from tests.fixtures.sshd import Sshd
from tests.io.nodes import Report, put
from tests.plan.facts import node as node_fact
from tests.workers.test_keepers import WRONG, directory_gone, directory_is_a_file, fifo, gone, unmounted

PATH = "acq/dir/f"
FIRST, SECOND, LOCAL = 11, 12, 13


class Hosts:
    """`disk` has the copy to be deleted, and `near` a keeper; `v1` and `v2` are on the host `there`.

    `ssh` counts its sessions.
    """

    def __init__(self, base: Path, sshd: Sshd) -> None:
        self.base = base
        self.sshd = sshd
        for name in ("disk", "near", "v1", "v2"):
            (base / name).mkdir()
            (base / name / MARKER).write_text(f"{name}\n")
        self.add(PATH)
        counting = stand_in(base / "bin", "counting-ssh", f'echo >> {base}/sessions; exec ssh "$@"')
        self.ssh: tuple[str, ...] = (str(counting), *sshd.ssh[1:])
        self.v1 = self.there("v1", FIRST)
        self.v2 = self.there("v2", SECOND)

    def there(self, name: str, node_id: int, **columns: object) -> NodeFact:
        place = {"host": "there", "address": self.sshd.address, "username": self.sshd.username}
        return node_fact(node_id, name=name, root=str(self.base / name), **place | columns)

    def add(self, path: str) -> None:
        for name in ("disk", "near", "v1", "v2"):
            put(self.base, f"{name}/{path}")

    def at(self, name: str, path: str = PATH) -> Path:
        return self.base / name / path

    @property
    def sessions(self) -> int:
        at = self.base / "sessions"
        return len(at.read_text()) if at.exists() else 0

    def outcome(
        self, *files: DeleteFile, remote: tuple[NodeFact, ...] | None = None, report: Report | None = None
    ) -> DeleteOutcome:
        disk = node_fact(10, name="disk", root=str(self.base / "disk"))
        near = node_fact(LOCAL, name="near", root=str(self.base / "near"))
        job = DeleteJob(disk, files, (near,), None, (self.v1, self.v2) if remote is None else remote)
        return delete(job, node_io(disk), report or Report(), Transfer(ssh=self.ssh))

    def result(self, of: DeleteFile, remote: tuple[NodeFact, ...] | None = None) -> DeleteResult:
        found = self.outcome(of, remote=remote)
        assert found.error == "" and not found.expired
        (one,) = found.results
        assert self.at("disk", of.path).exists() is (one.verdict is not Verdict.DELETED)
        return one


@pytest.fixture
def hosts(tmp_path: Path, sshd: Sshd) -> Hosts:
    return Hosts(tmp_path, sshd)


def file(
    path: str = PATH,
    keepers: tuple[int, ...] = (FIRST, SECOND),
    spare: int = 0,
    size_b: int | None = 7,
    length: int | None = None,
) -> DeleteFile:
    return DeleteFile(1, 2, path, size_b, "Y", keepers=keepers, spare=spare, length=length)


def test_copies_are_deleted_if_their_keepers_are_as_recorded_and_a_host_is_asked_once(hosts: Hosts) -> None:
    paths = [f"acq/{i // 10}/{i}" for i in range(60)]
    for path in paths:
        hosts.add(path)
    found = hosts.outcome(*(file(path) for path in paths), file())
    assert {one.verdict for one in found.results} == {Verdict.DELETED} and len(found.results) == 61
    assert all(one.wrong == () and one.error == "" for one in found.results)
    assert hosts.sessions == 1


def test_no_host_is_asked_where_none_is_named(hosts: Hosts) -> None:
    assert hosts.result(file(keepers=(LOCAL,)), remote=()).verdict is Verdict.DELETED
    assert hosts.sessions == 0


def test_no_host_is_asked_for_what_is_not_there(hosts: Hosts) -> None:
    found = hosts.outcome(file("acq/none"))
    assert [one.verdict for one in found.results] == [Verdict.MISSING] and hosts.sessions == 0


@pytest.mark.parametrize("spoil", WRONG)
def test_a_copy_stays_when_a_keeper_there_is_wrong(hosts: Hosts, spoil: Callable[[Path], None]) -> None:
    spoil(hosts.at("v2"))
    found = hosts.result(file())
    assert found.verdict is Verdict.KEPT and found.file.has_file == "Y"
    assert "v2: " in found.error and "v1" not in found.error
    ((node_id, why),) = found.wrong
    assert node_id == SECOND and why in found.error


def test_a_fifo_is_no_empty_file(hosts: Hosts) -> None:
    for name in ("disk", "v1", "v2"):
        put(hosts.base, f"{name}/acq/empty", b"")
    assert hosts.result(file("acq/empty", size_b=0)).verdict is Verdict.DELETED
    put(hosts.base, "disk/acq/empty", b"")
    fifo(hosts.at("v2", "acq/empty"))
    found = hosts.result(file("acq/empty", size_b=0))
    assert found.verdict is Verdict.KEPT and found.wrong == ((SECOND, "it is not a regular file"),)


@pytest.mark.parametrize("spoil", WRONG)
def test_a_wrong_remote_keeper_that_is_not_needed_is_reported(
    hosts: Hosts, spoil: Callable[[Path], None]
) -> None:
    spoil(hosts.at("v2"))
    found = hosts.result(file(spare=1))
    assert found.verdict is Verdict.DELETED and [node_id for node_id, _ in found.wrong] == [SECOND]


def test_each_file_is_decided_for_itself(hosts: Hosts) -> None:
    hosts.add("acq/a")
    hosts.add("acq/b")
    gone(hosts.at("v1", "acq/a"))
    found = hosts.outcome(file("acq/a"), file("acq/b"))
    assert [one.verdict for one in found.results] == [Verdict.KEPT, Verdict.DELETED]


def test_keepers_here_and_there_use_up_what_can_be_spared_together(hosts: Hosts) -> None:
    gone(hosts.at("near"))
    assert hosts.result(file(keepers=(LOCAL, FIRST, SECOND))).verdict is Verdict.KEPT
    gone(hosts.at("v1"))
    found = hosts.result(file(keepers=(LOCAL, FIRST, SECOND), spare=1))
    assert found.verdict is Verdict.KEPT and [node_id for node_id, _ in found.wrong] == [LOCAL, FIRST]
    assert "near: its copy is missing" in found.error and "v1: its copy is missing" in found.error
    assert hosts.result(file(keepers=(LOCAL, FIRST, SECOND), spare=2)).verdict is Verdict.DELETED


def test_the_length_of_a_keeper_is_the_files_where_the_copy_itself_may_have_any(hosts: Hosts) -> None:
    hosts.at("v1").write_bytes(b"")
    found = hosts.result(file(size_b=None, length=7))
    assert found.verdict is Verdict.KEPT
    assert "v1: its length is 0 bytes, the index says 7" in found.error


def test_two_keepers_with_one_file_on_one_host_count_once(hosts: Hosts) -> None:
    gone(hosts.at("v2"))
    os.link(hosts.at("v1"), hosts.at("v2"))
    found = hosts.result(file())
    assert found.verdict is Verdict.KEPT and "v2: copy is a hard link to that on v1" in found.error
    assert found.wrong == ()
    assert hosts.result(file(spare=1)).verdict is Verdict.DELETED


def test_equal_numbers_of_inodes_count_once_where_the_hosts_have_one_address(hosts: Hosts) -> None:
    gone(hosts.at("v2"))
    os.link(hosts.at("v1"), hosts.at("v2"))
    twin = hosts.v2._replace(host="twin")
    found = hosts.result(file(), remote=(hosts.v1, twin))
    assert found.verdict is Verdict.KEPT and "hard link" in found.error and hosts.sessions == 1
    hosts.ssh = (*hosts.ssh, f"-oHostKeyAlias=[{hosts.sshd.address}]:{hosts.sshd.port}")
    elsewhere = hosts.v2._replace(host="elsewhere", address="localhost")
    assert hosts.result(file(), remote=(hosts.v1, elsewhere)).verdict is Verdict.DELETED
    assert hosts.sessions == 3


def test_of_two_hosts_only_one_of_which_answers_the_other_counts(hosts: Hosts) -> None:
    elsewhere = hosts.v2._replace(host="elsewhere", address="no.such.host.invalid")
    found = hosts.result(file(), remote=(hosts.v1, elsewhere))
    assert found.verdict is Verdict.KEPT and found.wrong == ()
    assert "v2: host elsewhere cannot be reached" in found.error and "v1" not in found.error
    assert hosts.result(file(spare=1), remote=(hosts.v1, elsewhere)).verdict is Verdict.DELETED


@pytest.mark.parametrize(
    "path", ["acq/new\nline", "acq/-rf", "-acq/f", "acq/$(touch x)`'\"", "acq/\udcff", "acq/a b/ü*?\\0"]
)
def test_odd_names_are_looked_at_as_they_are(hosts: Hosts, path: str) -> None:
    hosts.add(path)
    gone(hosts.at("v2", path))
    found = hosts.result(file(path))
    assert found.verdict is Verdict.KEPT and [node_id for node_id, _ in found.wrong] == [SECOND]
    put(hosts.base, f"v2/{path}")
    assert hosts.result(file(path)).verdict is Verdict.DELETED


def test_an_odd_root_is_looked_at_as_it_is(hosts: Hosts) -> None:
    root = hosts.base / "it's $(touch executed)\nthere"
    (hosts.base / "v2").rename(root)
    assert (
        hosts.result(file(), remote=(hosts.v1, hosts.v2._replace(root=f"{root}/"))).verdict is Verdict.DELETED
    )


# --- what cannot be looked at --------------------------------------------------------------------------


def assert_not_counted(hosts: Hosts, remote: tuple[NodeFact, ...] | None = None, *said: str) -> None:
    """Check that v2 does not count and its copy is not reported; v1 may be in the same state."""
    found = hosts.result(file(), remote=remote)
    assert found.verdict is Verdict.KEPT and found.wrong == ()
    assert "v2: " in found.error
    assert all(text in found.error for text in said), found.error
    spare = 1 if "v1: " not in found.error else 2
    assert hosts.result(file(spare=spare), remote=remote).verdict is Verdict.DELETED


def marker_of_another(base: Path) -> None:
    (base / "v2" / MARKER).write_text("another\n")


def root_gone(base: Path) -> None:
    shutil.rmtree(base / "v2")


def marker_gone_and_copy_spoilt(base: Path) -> None:
    (base / "v2" / MARKER).unlink()
    (base / "v2" / PATH).write_bytes(b"of another storage")


@pytest.mark.parametrize("go", [unmounted, root_gone, marker_of_another, marker_gone_and_copy_spoilt])
def test_a_keeper_whose_node_is_not_there_does_not_count_and_is_not_called_wrong(
    hosts: Hosts, go: Callable[[Path], None]
) -> None:
    go(hosts.base)
    assert_not_counted(hosts, None, "host there")


def with_stat(hosts: Hosts, script: str) -> Path:
    """Make stat on the other host run `script` on its first call, with the real one as `real`; return the outcome."""
    done = hosts.base / "done"
    real = f'real() {{ {shutil.which("stat")} "$@"; }}'
    once = f'{real}; if [ -e {done} ]; then real "$@"; else touch {done}; {script}; fi'
    stand_in(hosts.base / "there", "stat", once)
    command = f'"PATH={hosts.base}/there:$PATH; export PATH; ${{@: -1:1}}"'
    ssh = stand_in(hosts.base / "bin", "ssh-with-path", f'exec ssh "${{@:1:$#-1}}" {command}')
    hosts.ssh = (str(ssh), *hosts.sshd.ssh[1:])
    return done


@pytest.mark.parametrize("act", ["rm -rf v2/*", f"echo another > v2/{MARKER}"])
def test_a_node_that_goes_away_while_its_host_is_asked_is_not_called_wrong(hosts: Hosts, act: str) -> None:
    """Its marker was right before; later observations may come from an empty directory or another storage."""
    done = with_stat(hosts, f'cd {hosts.base}; {act}; real "$@"')
    found = hosts.result(file())
    assert done.exists()
    assert found.verdict is Verdict.KEPT and found.wrong == () and "v2: " in found.error


def test_a_node_that_comes_while_its_host_is_asked_is_not_called_wrong(hosts: Hosts) -> None:
    unmounted(hosts.base)
    done = with_stat(hosts, f'real "$@"; status=$?; echo v2 > {hosts.base}/v2/{MARKER}; exit $status')
    found = hosts.result(file())
    assert done.exists() and hosts.at("v2", MARKER).exists()
    assert found.verdict is Verdict.KEPT and found.wrong == () and "v2: " in found.error


def test_a_host_that_refuses_the_connection_does_not_count(hosts: Hosts) -> None:
    hosts.ssh = (*hosts.ssh, "-p", "1")
    assert_not_counted(hosts, None, "host there cannot be reached", "refused")


def test_a_worker_asks_a_host_that_does_not_answer_once_and_others_for_each_job(hosts: Hosts) -> None:
    hosts.add("acq/a")
    elsewhere = hosts.v2._replace(host="elsewhere", address="no.such.host.invalid")
    worker = Worker(Transfer(ssh=hosts.ssh))
    results = []
    for path in (PATH, "acq/a"):
        disk = node_fact(10, name="disk", root=str(hosts.base / "disk"))
        job = DeleteJob(disk, (file(path),), (), None, (hosts.v1, elsewhere))
        outcome = worker(Task(TaskKind.DELETE, 10, job), Report())
        assert isinstance(outcome, DeleteOutcome)
        results += outcome.results
    assert [one.verdict for one in results] == [Verdict.KEPT] * 2
    assert all("v2: host elsewhere cannot be reached: " in one.error and one.wrong == () for one in results)
    assert hosts.sessions == 3


def test_a_host_that_refuses_the_key_does_not_count(hosts: Hosts) -> None:
    allowed = hosts.sshd.base / "authorized_keys"
    kept = allowed.read_text()
    allowed.write_text("")
    try:
        assert_not_counted(hosts, None, "host there refuses the login", "Permission denied")
    finally:
        allowed.write_text(kept)


@pytest.mark.parametrize("forced", ["true", "false", "echo Only rsync; exit 1", "cat"])
def test_a_key_restricted_to_another_command_does_not_count(hosts: Hosts, forced: str) -> None:
    allowed = hosts.sshd.base / "authorized_keys"
    kept = allowed.read_text()
    allowed.write_text(f'restrict,command="{forced}" {kept}')
    try:
        assert_not_counted(hosts, None, "host there")
    finally:
        allowed.write_text(kept)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"address": None}, "address"),
        ({"username": None}, "username"),
        ({"host": None}, "host"),
        ({"root": None}, "root"),
        ({"root": "relative"}, "root"),
        ({"root": "/nonexistent\udfff"}, "root"),
        ({"address": "-oProxyCommand=touch executed"}, "address"),
        ({"io_config": "{"}, "io_config"),
        ({"io_class": "NoSuchClass"}, "NoSuchClass"),
    ],
)
def test_a_node_that_cannot_be_reached_does_not_count(
    hosts: Hosts, columns: dict[str, object], said: str
) -> None:
    assert_not_counted(hosts, (hosts.v1, hosts.v2._replace(**columns)), said)  # type: ignore[arg-type]


def test_a_node_of_which_nothing_is_known_does_not_count(hosts: Hosts) -> None:
    found = hosts.result(file(), remote=(hosts.v1,))
    assert found.verdict is Verdict.KEPT and found.wrong == () and f"node {SECOND}" in found.error


def test_a_remote_file_that_cannot_be_looked_at_is_not_reported_as_wrong(hosts: Hosts) -> None:
    """Here the file is behind a link to itself; a directory that the user may not enter looks the same."""
    directory_gone(hosts.at("v2"))
    hosts.at("v2").parent.symlink_to("dir")
    assert_not_counted(hosts, None, "cannot look at the copy on host there")


def without_marker(hosts: Hosts) -> NodeFact:
    (hosts.base / "v2" / MARKER).unlink()
    config = '{"quota_id": "x", "quota_type": "user", "headroom": 1}'
    return hosts.v2._replace(io_class="LustreHSM", io_config=config)


def test_of_a_storage_class_without_marker_the_root_must_be_a_directory(hosts: Hosts) -> None:
    node = without_marker(hosts)
    (hosts.base / "v2").rename(hosts.base / "aside")
    (hosts.base / "v2").write_text("")
    assert_not_counted(hosts, (hosts.v1, node), "root on host there is not a directory")


def test_of_a_storage_class_without_marker_what_is_there_counts(hosts: Hosts) -> None:
    node = without_marker(hosts)
    (hosts.base / "v2").rename(hosts.base / "aside")
    (hosts.base / "v2").symlink_to("aside")
    assert hosts.result(file(), remote=(hosts.v1, node)).verdict is Verdict.DELETED


@pytest.mark.parametrize("spoil", [gone, directory_gone, directory_is_a_file])
def test_of_a_storage_class_without_marker_nothing_missing_is_called_wrong(
    hosts: Hosts, spoil: Callable[[Path], None]
) -> None:
    node = without_marker(hosts)
    spoil(hosts.at("v2"))
    assert_not_counted(hosts, (hosts.v1, node), "its copy is missing on host there")


def test_of_a_storage_class_without_marker_another_length_is_wrong(hosts: Hosts) -> None:
    node = without_marker(hosts)
    hosts.at("v2").write_bytes(b"another")
    assert hosts.result(file(), remote=(hosts.v1, node)).verdict is Verdict.DELETED
    put(hosts.base, f"disk/{PATH}")
    hosts.at("v2").write_bytes(b"longer than that")
    found = hosts.result(file(), remote=(hosts.v1, node))
    assert found.verdict is Verdict.KEPT and [node_id for node_id, _ in found.wrong] == [SECOND]


class Stopping(Report):
    """Requests a stop once `at` exists."""

    def __init__(self, at: Path) -> None:
        super().__init__()
        self.at = at

    def stopping(self) -> bool:
        return self.at.exists()


def test_a_run_that_is_asked_to_stop_does_not_wait_for_a_host(hosts: Hosts) -> None:
    begun = hosts.base / "begun"
    hosts.ssh = (str(stand_in(hosts.base / "bin", "hanging", f"touch {begun}; exec sleep 1000")),)
    started = time.monotonic()
    found = hosts.outcome(file(), report=Stopping(begun))
    assert found == DeleteOutcome() and hosts.at("disk").exists()
    assert time.monotonic() - started < 20
