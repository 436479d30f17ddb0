"""Pull jobs on real directories, programs and a real ssh server."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.workers.pull import pull
from tests.fixtures.sshd import Sshd

BIG = 64 * 2**20 + 12345
LOCAL = [Method.LINK, Method.COPY, Method.RSYNC]
COPIES = [Method.COPY, Method.RSYNC, Method.RSYNC_SSH]
REMOTE = [Method.RSYNC_SSH, Method.TAR]
ALL = [*LOCAL, *REMOTE]
HOSTILE = [
    "-rf",
    "--rsync-path=touch x",
    "a:b",
    "host::module",
    "a\nb",
    "..\n",
    "'quoted\"",
    "back\\slash",
    "\\#012",
    "trailing ",
    " leading",
    "*",
    "[ab]?",
    "#comment",
    ";semicolon",
    "$(touch x)",
    "é" * 127,
    "a%b",
    "~",
    "\udcff\udcfe",
    "tab\there",
    "deep/er/-x/y:z",
]


class Report:
    """Counts progress; requests a stop once `stop_after` files or bytes are reached."""

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        self.files = 0
        self.bytes = 0
        self.stopping = stopping

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        self.files += files
        self.bytes += bytes


class World:
    """A source node and a destination node on this host; the source may be reached through ssh."""

    def __init__(self, base: Path, server: Sshd) -> None:
        self.transfer = Transfer(ssh=server.ssh)
        self.source_fact = self._node(1, "source", base / "source", server.username, server.address)
        self.fact = self._node(2, "here", base / "here", None, None)
        self.source = base / "source"
        self.here = base / "here"
        self.report = Report()
        self.stage = "s1"
        self.with_source_node = False

    def _node(self, id: int, name: str, root: Path, username: str | None, address: str | None) -> NodeFact:
        root.mkdir()
        (root / "ALPENHORN_NODE").write_text(name + "\n")
        return NodeFact(
            id, name, str(root), id, f"host{id}", username, address, True, False, None, None, None, 0.0, None
        )

    def put(self, path: str, data: bytes, replace: bool = False) -> PullFile:
        where = self.source / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
        return self.file(path, data, replace)

    def file(self, path: str, data: bytes, replace: bool = False) -> PullFile:
        number = abs(hash(path)) % 10**6
        return PullFile(number, number, path, len(data), hashlib.md5(data).hexdigest(), replace)

    def pull(self, method: Method, *files: PullFile) -> dict[str, PullResult]:
        job = PullJob(self.source_fact, self.fact, method, files)
        source = DefaultNode(self.source_fact, {}) if self.with_source_node else None
        results = pull(job, DefaultNode(self.fact, {}), self.stage, self.transfer, self.report, source)
        return {result.file.path: result for result in results}

    def stages(self) -> list[str]:
        return sorted(os.listdir(self.here / ".alpenhorn"))

    def found(self) -> set[str]:
        """Return all files on the destination except alpenhorn's own."""
        return {
            str(path.relative_to(self.here))
            for path in self.here.rglob("*")
            if not path.is_dir()
            and not str(path.relative_to(self.here)).startswith((".alpenhorn", "ALPENHORN"))
        }


@pytest.fixture
def world(tmp_path: Path, sshd: Sshd) -> World:
    return World(tmp_path, sshd)


def verdicts(results: dict[str, PullResult]) -> dict[str, tuple[Verdict, Blame | None]]:
    return {path: (result.verdict, result.blame) for path, result in results.items()}


PULLED = (Verdict.PULLED, None)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("count", [1, 30])
def test_every_method_brings_every_file_as_it_is(world: World, method: Method, count: int) -> None:
    data = {f"acq{number % 3}/sub/f{number}": os.urandom(number * 1000) for number in range(count)}
    files = [world.put(path, content) for path, content in data.items()]
    for path in data:
        (world.source / path).chmod(0o400)
        os.utime(world.source / path, ns=(10**18, 10**18 + 7))
    results = world.pull(method, *files)
    assert verdicts(results) == dict.fromkeys(data, PULLED)
    for path, content in data.items():
        status = (world.here / path).stat()
        assert (world.here / path).read_bytes() == content
        assert stat.S_IMODE(status.st_mode) == 0o400 and status.st_mtime_ns == 10**18 + 7
        assert results[path].space_b == status.st_blocks * 512
        assert results[path].method is method
        assert results[path].started <= results[path].ended
        assert (status.st_ino == (world.source / path).stat().st_ino) == (method is Method.LINK)
    assert world.found() == set(data)
    assert world.stages() == []
    assert world.report.files == count


@pytest.mark.parametrize(
    ("method", "size_b"),
    [*((method, 1000) for method in ALL), *((method, BIG) for method in (*LOCAL, Method.RSYNC_SSH))],
)
def test_sha256_is_computed_on_demand_and_compared_with_what_is_known(
    world: World, method: Method, size_b: int
) -> None:
    data = os.urandom(size_b)
    known = hashlib.sha256(data).hexdigest()
    file = world.put("acq/f", data)
    wrong = file._replace(sha256="0" * 64)
    assert verdicts(world.pull(method, wrong)) == {"acq/f": (Verdict.FAILED, Blame.SOURCE)}
    assert world.found() == set()
    for number, (given, found) in enumerate({None: "", "": known, known: known}.items()):
        (world.here / "acq/f").unlink(missing_ok=True)
        world.stage = f"again{number}"
        (result,) = world.pull(method, file._replace(sha256=given)).values()
        assert (result.verdict, result.sha256) == (Verdict.PULLED, found)
        assert (world.here / "acq/f").read_bytes() == data


@pytest.mark.parametrize("method", ALL)
def test_hostile_names_are_only_names(world: World, method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.here.parent)
    files = [
        world.put(f"acq-{number}/{name}", name.encode(errors="replace"))
        for number, name in enumerate(HOSTILE)
    ]
    files += [world.put(f"{name}/f", b"data") for name in HOSTILE if len(name) < 100]
    results = world.pull(method, *files)
    assert verdicts(results) == {file.path: PULLED for file in files}
    assert world.found() == {file.path for file in files}
    assert sorted(os.listdir(world.here.parent)) == ["here", "source"]


@pytest.mark.parametrize("method", ALL)
def test_paths_out_of_the_root_are_refused_and_the_others_come(world: World, method: Method) -> None:
    bad = [
        "../outside",
        "/etc/hostname",
        "acq/../../outside",
        "",
        "acq//f",
        ".alpenhorn/x",
        "ALPENHORN_NODE",
        "a\0b",
    ]
    (world.here.parent / "outside").write_bytes(b"data")
    results = world.pull(method, *(world.file(path, b"data") for path in bad), world.put("acq/good", b"data"))
    assert verdicts(results) == {**dict.fromkeys(bad, (Verdict.FAILED, Blame.UNKNOWN)), "acq/good": PULLED}
    assert world.found() == {"acq/good"}


@pytest.mark.parametrize("method", ALL)
def test_bad_sources_are_to_blame_and_the_others_come(world: World, method: Method) -> None:
    good = [world.put(f"acq/good{number}", os.urandom(5000)) for number in range(3)]
    missing = world.file("acq/missing", b"data")
    no_directory = world.file("nowhere/missing", b"data")
    short, grown, rotten = (world.file(f"acq/{name}", b"0123456789") for name in ("short", "grown", "rotten"))
    world.put("acq/short", b"012345678")
    world.put("acq/grown", b"0123456789x")
    world.put("acq/rotten", b"012345678X")
    link, directory, fifo = (world.file(f"acq/{name}", b"data") for name in ("link", "directory", "fifo"))
    (world.source / "acq" / "link").symlink_to("good0")
    (world.source / "acq" / "directory").mkdir()
    os.mkfifo(world.source / "acq" / "fifo")
    bad = [missing, no_directory, short, grown, rotten, link, directory, fifo]
    results = world.pull(method, bad[0], good[0], *bad[1:4], good[1], *bad[4:], good[2])
    expected = {file.path: (Verdict.FAILED, Blame.SOURCE) for file in bad} | {
        file.path: PULLED for file in good
    }
    assert verdicts(results) == expected
    assert all(results[file.path].error for file in bad)
    assert world.found() == {file.path for file in good}
    assert world.stages() == []


@pytest.mark.parametrize("method", [*REMOTE, Method.COPY])
def test_a_thousand_missing_files_are_all_reported(world: World, method: Method) -> None:
    """More messages than the kept end of rsync's standard error can hold."""
    missing = [world.file(f"acq/{number:04d}-{'x' * 100}", b"data") for number in range(1000)]
    results = world.pull(method, *missing, world.put("acq/good", b"data"))
    assert results.pop("acq/good").verdict is Verdict.PULLED
    assert set(verdicts(results).values()) == {(Verdict.FAILED, Blame.SOURCE)} and len(results) == 1000


@pytest.mark.parametrize("method", LOCAL)
def test_files_of_a_source_that_is_not_mounted_are_not_called_missing(world: World, method: Method) -> None:
    world.with_source_node = True
    (world.source / "ALPENHORN_NODE").unlink()
    results = world.pull(method, world.file("acq/f", b"data"))
    assert verdicts(results) == {"acq/f": (Verdict.FAILED, Blame.UNKNOWN)}
    assert "not mounted" in results["acq/f"].error


@pytest.mark.parametrize("method", ALL)
def test_a_source_without_its_root_is_not_to_blame(world: World, method: Method) -> None:
    file = world.put("acq/f", b"data")
    world.source.rename(world.source.parent / "gone")
    assert verdicts(world.pull(method, file)) == {"acq/f": (Verdict.FAILED, Blame.UNKNOWN)}


@pytest.mark.parametrize("method", ALL)
def test_a_file_at_the_path_stays_unless_it_is_to_be_replaced(world: World, method: Method) -> None:
    for name in ("unknown", "corrupt", "bad"):
        (world.here / "acq").mkdir(exist_ok=True)
        (world.here / "acq" / name).write_bytes(b"old")
    (world.here / "acq" / "dangling").symlink_to("nowhere")
    files = [
        world.put("acq/unknown", b"data"),
        world.put("acq/dangling", b"data"),
        world.put("acq/corrupt", b"data", replace=True),
        world.file("acq/bad", b"data", replace=True),
    ]
    world.put("acq/bad", b"rot!")
    results = world.pull(method, *files)
    assert verdicts(results) == {
        "acq/unknown": (Verdict.OCCUPIED, None),
        "acq/dangling": (Verdict.OCCUPIED, None),
        "acq/corrupt": PULLED,
        "acq/bad": (Verdict.FAILED, Blame.SOURCE),
    }
    assert (world.here / "acq" / "unknown").read_bytes() == b"old"
    assert (world.here / "acq" / "corrupt").read_bytes() == b"data"
    assert (world.here / "acq" / "bad").read_bytes() == b"old", "it stays until a new one has been verified"


@pytest.mark.parametrize("method", ALL)
def test_nothing_goes_through_a_link_planted_in_the_destination(
    world: World, method: Method, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (world.here / "acq").symlink_to(tmp_path / "outside")
    results = world.pull(method, world.put("acq/f", b"data"), world.put("other/f", b"data"))
    assert verdicts(results) == {"acq/f": (Verdict.FAILED, Blame.UNKNOWN), "other/f": PULLED}
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize("method", ALL)
def test_another_nodes_storage_gets_nothing(world: World, method: Method) -> None:
    (world.here / "ALPENHORN_NODE").write_text("somebody\n")
    files = [world.put("acq/f", b"data"), world.put("acq/g", b"data")]
    assert set(verdicts(world.pull(method, *files)).values()) == {(Verdict.FAILED, Blame.DESTINATION)}
    assert os.listdir(world.here) == ["ALPENHORN_NODE"]


@pytest.mark.parametrize("method", [*COPIES, Method.TAR])
@pytest.mark.parametrize("count", [6, 12])
def test_when_the_destination_is_full_those_that_fit_are_done(
    world: World, method: Method, count: int, tmp_path: Path
) -> None:
    small_disk(world.here, "size=1m")
    try:
        (world.here / "ALPENHORN_NODE").write_text("here\n")
        size_b = 2 * 2**20 // count
        files = [world.put(f"acq/{number:02d}", os.urandom(size_b)) for number in range(count)]
        results = world.pull(method, *files)
        done = {path for path, verdict in verdicts(results).items() if verdict == PULLED}
        failed = {
            path
            for path, verdict in verdicts(results).items()
            if verdict == (Verdict.FAILED, Blame.DESTINATION)
        }
        assert done | failed == {file.path for file in files} and failed
        if method is Method.COPY:
            assert len(done) >= count // 2 - 2
        assert world.found() == done
        assert all((world.here / path).read_bytes() == (world.source / path).read_bytes() for path in done)
        assert "No space left" in results[next(iter(failed))].error
        assert world.stages() == []
    finally:
        subprocess.run(["umount", str(world.here)], check=True)


@pytest.mark.parametrize("method", [Method.COPY, Method.LINK])
def test_files_that_are_found_only_when_others_are_placed_stay(world: World, method: Method) -> None:
    """The paths of most small files are not looked at before."""
    world.with_source_node = True
    files = [world.put(f"acq/{number:02d}", os.urandom(100)) for number in range(30)]
    there = {"acq/11", "acq/29"}
    for path in there:
        (world.here / path).parent.mkdir(exist_ok=True)
        (world.here / path).write_bytes(b"unknown")
    results = world.pull(method, *files)
    for file in files:
        expected = (Verdict.OCCUPIED, None) if file.path in there else PULLED
        assert verdicts(results)[file.path] == expected
        kept = b"unknown" if file.path in there else (world.source / file.path).read_bytes()
        assert (world.here / file.path).read_bytes() == kept
    assert world.stages() == []


@pytest.mark.parametrize("how", ["overwritten", "replaced"])
def test_a_source_that_changes_before_it_is_linked_is_copied_and_verified_again(
    world: World, how: str
) -> None:
    files = [world.put(f"acq/{number}", os.urandom(100)) for number in range(2)]
    first = world.source / "acq/0"

    class Changing(Report):
        def begin(self, path: str) -> None:
            if path != "acq/1":
                return
            if how == "overwritten":
                with first.open("r+b") as file:
                    file.write(b"other")
            else:
                content = first.read_bytes()
                first.unlink()
                first.write_bytes(content)

    world.report = Changing()
    results = world.pull(Method.LINK, *files)
    assert verdicts(results)["acq/1"] == PULLED and results["acq/1"].method is Method.LINK
    if how == "overwritten":
        assert verdicts(results)["acq/0"] == (Verdict.FAILED, Blame.SOURCE)
        assert world.found() == {"acq/1"}
    else:
        assert verdicts(results)["acq/0"] == PULLED and results["acq/0"].method is Method.COPY
        assert not (world.here / "acq/0").samefile(first)


def test_more_files_than_may_be_open_are_linked(world: World) -> None:
    files = [world.put(f"acq/{number:03d}", os.urandom(10)) for number in range(200)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, before[1]))
    try:
        results = world.pull(Method.LINK, *files)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert set(verdicts(results).values()) == {PULLED}
    assert all((world.here / file.path).samefile(world.source / file.path) for file in files)


@pytest.mark.parametrize("method", ALL)
def test_a_read_only_destination_is_to_blame(world: World, method: Method) -> None:
    file = world.put("acq/f", b"data")
    small_disk(world.here, "size=1m")
    try:
        (world.here / "ALPENHORN_NODE").write_text("here\n")
        (world.here / ".alpenhorn.lock").touch()
        subprocess.run(["mount", "-o", "remount,ro", str(world.here)], check=True)
        results = world.pull(method, file)
        assert verdicts(results) == {"acq/f": (Verdict.FAILED, Blame.DESTINATION)}
        assert "Read-only" in results["acq/f"].error
    finally:
        subprocess.run(["umount", str(world.here)], check=True)


def small_disk(where: Path, options: str) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root, as CI does")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], check=True)


def test_a_link_over_file_systems_becomes_a_copy(world: World) -> None:
    small_disk(world.here, "size=10m")
    try:
        (world.here / "ALPENHORN_NODE").write_text("here\n")
        files = [world.put(f"acq/{number}", os.urandom(100)) for number in range(20)]
        results = world.pull(Method.LINK, *files)
        assert set(verdicts(results).values()) == {PULLED}
        assert {result.method for result in results.values()} == {Method.COPY}
    finally:
        subprocess.run(["umount", str(world.here)], check=True)


# --- networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", REMOTE)
def test_an_unreachable_host_is_network_trouble_for_all_that_is_left(
    world: World, method: Method, sshd: Sshd
) -> None:
    world.transfer = Transfer(ssh=("ssh", "-p", "1", *sshd.ssh[1:]))
    results = world.pull(method, world.put("acq/f", b"data"), world.put("acq/g", b"data"))
    assert set(verdicts(results).values()) == {(Verdict.FAILED, Blame.NETWORK)} and len(results) == 2
    assert "refused" in results["acq/f"].error


@pytest.mark.parametrize("method", REMOTE)
def test_a_changed_host_key_is_network_trouble(
    world: World, method: Method, sshd: Sshd, tmp_path: Path
) -> None:
    other = (sshd.base / "user_key.pub").read_text()
    (tmp_path / "known").write_text(f"[{sshd.address}]:{sshd.port} {other}")
    world.transfer = Transfer(ssh=("ssh", f"-oUserKnownHostsFile={tmp_path / 'known'}", *sshd.ssh[1:]))
    results = world.pull(method, world.put("acq/f", b"data"))
    assert verdicts(results) == {"acq/f": (Verdict.FAILED, Blame.NETWORK)}
    assert "Host key verification failed" in results["acq/f"].error


@pytest.mark.parametrize("method", REMOTE)
def test_a_refused_key_is_network_trouble(world: World, method: Method, sshd: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    config = (
        (sshd.base / "client_config")
        .read_text()
        .replace(str(sshd.base / "user_key"), str(tmp_path / "other"))
    )
    (tmp_path / "config").write_text(config)
    world.transfer = Transfer(ssh=("ssh", "-F", str(tmp_path / "config")))
    results = world.pull(method, world.put("acq/f", b"data"))
    assert verdicts(results) == {"acq/f": (Verdict.FAILED, Blame.NETWORK)}
    assert "Permission denied" in results["acq/f"].error


@pytest.mark.parametrize(
    ("program", "method"), [("rsync", Method.RSYNC_SSH), ("ssh", Method.RSYNC_SSH), ("ssh", Method.TAR)]
)
def test_a_missing_program_is_named_and_touches_neither_copy(
    world: World, program: str, method: Method
) -> None:
    world.transfer = Transfer(ssh=("no-such-ssh",)) if program == "ssh" else Transfer(rsync="no-such-rsync")
    results = world.pull(method, world.put("acq/f", b"data"))
    assert results["acq/f"].blame in (Blame.UNKNOWN, Blame.NETWORK)
    assert f"no-such-{program}" in results["acq/f"].error


def wrapper(tmp_path: Path, name: str, script: str) -> str:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_rsync_killed_half_way_keeps_and_verifies_what_came_whole(
    world: World, sshd: Sshd, tmp_path: Path
) -> None:
    """The remote shell dies after half of the bytes."""
    cutter = tmp_path / "cutter.py"
    cutter.write_text(
        # rsync hands its remote shell a socket that does not block; a full one would end the cutter at once.
        "import os\nos.set_blocking(1, True)\nleft = 1_500_000\n"
        "while left > 0 and (data := os.read(0, min(left, 65536))):\n"
        "    left -= os.write(1, data)\n"
    )
    ssh = " ".join(sshd.ssh)
    cut = wrapper(tmp_path, "cut-ssh", f'{ssh} "$@" | {{ {sys.executable} {cutter}; kill -9 $$; }}')
    world.transfer = Transfer(ssh=(cut,))
    files = [world.put(f"acq/{number:02d}", os.urandom(300_000)) for number in range(10)]
    results = world.pull(Method.RSYNC_SSH, *files)
    done = {path for path, verdict in verdicts(results).items() if verdict == PULLED}
    lost = {path for path, verdict in verdicts(results).items() if verdict == (Verdict.FAILED, Blame.NETWORK)}
    assert 1 <= len(done) <= 5 and done | lost == {file.path for file in files}
    assert world.found() == done
    assert all((world.here / path).read_bytes() == (world.source / path).read_bytes() for path in done)


def test_a_tool_that_transfers_wrong_bytes_and_reports_success_is_not_trusted(
    world: World, tmp_path: Path
) -> None:
    lying = wrapper(
        tmp_path, "rsync", 'for last; do :; done; mkdir -p "$last/acq"; printf DATA >"$last/acq/f"'
    )
    world.transfer = Transfer(rsync=lying)
    assert verdicts(world.pull(Method.RSYNC_SSH, world.put("acq/f", b"data"))) == {
        "acq/f": (Verdict.FAILED, Blame.SOURCE)
    }
    # Where the source can be read here too, it is found that it is right.
    assert verdicts(world.pull(Method.RSYNC, world.put("acq/f", b"data"))) == {
        "acq/f": (Verdict.FAILED, Blame.DESTINATION)
    }
    assert world.found() == set()


# --- parts of big files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", COPIES)
@pytest.mark.parametrize("left", ["half", "whole", "rotten", "longer", "none"])
def test_a_part_is_continued_or_dropped(world: World, method: Method, left: str) -> None:
    world.stage = "part-7-abc"
    data = os.urandom(2**20) * 66
    file = world.put("acq/deep/big", data)
    part = world.here / ".alpenhorn" / world.stage / file.path
    part.parent.mkdir(parents=True)
    content = {
        "half": data[: BIG // 2],
        "whole": data,
        "rotten": b"x" * 1000,
        "longer": data + b"x",
        "none": b"",
    }
    part.write_bytes(content[left])
    part.chmod(0o400)
    (world.source / file.path).chmod(0o440)
    os.utime(world.source / file.path, ns=(10**18, 10**18 + 7))
    assert verdicts(world.pull(method, file)) == {file.path: PULLED}
    assert (world.here / file.path).read_bytes() == data
    status = (world.here / file.path).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o440, 10**18 + 7)
    assert world.stages() == []


@pytest.mark.parametrize("method", COPIES)
def test_a_big_file_that_is_stopped_leaves_its_part_and_no_result(world: World, method: Method) -> None:
    world.stage = "part-7-abc"
    slow = world.here.parent / "slow-rsync"
    slow.write_text('#!/bin/sh\nexec rsync --bwlimit=50m "$@"\n')
    slow.chmod(0o755)
    fast, world.transfer = world.transfer, world.transfer._replace(rsync=str(slow))
    data = os.urandom(2**20) * 300
    file = world.put("acq/big", data)
    part = world.here / ".alpenhorn" / world.stage / file.path
    world.report.stopping = lambda: part.exists() and part.stat().st_size > 2**20
    assert world.pull(method, file) == {}
    kept = part.read_bytes()
    assert len(kept) > 2**20
    # Not with ==, whose report of a difference would take minutes.
    assert data.startswith(kept)
    assert world.found() == set()
    world.report.stopping = lambda: False
    world.transfer = fast
    assert verdicts(world.pull(method, file)) == {file.path: PULLED}
    assert (world.here / file.path).read_bytes() == data


@pytest.mark.parametrize("method", COPIES)
def test_a_corrupt_large_source_leaves_no_partial_file(world: World, method: Method) -> None:
    world.stage = "part-7-abc"
    file = world.file("acq/big", bytes(2**21))
    world.put("acq/big", bytes(2**21 - 1) + b"x")
    assert verdicts(world.pull(method, file)) == {file.path: (Verdict.FAILED, Blame.SOURCE)}
    assert world.stages() == []


# --- stopping -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LOCAL)
def test_stopping_keeps_what_is_done_and_leaves_the_rest_out(world: World, method: Method) -> None:
    files = [world.put(f"acq/{number:03d}", os.urandom(10_000)) for number in range(40)]
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20

    world.report.stopping = stopping
    results = world.pull(method, *files)
    assert all(result.verdict is Verdict.PULLED for result in results.values())
    assert method is Method.RSYNC or 0 < len(results) < 40
    assert world.found() == set(results)
    assert world.stages() == []


# --- bbcp -----------------------------------------------------------------------------------------------

STAND_IN = """\
# A stand-in for bbcp: takes the last two arguments and copies, or does what FAKE_BBCP says.
while [ $# -gt 2 ]; do shift; done
case "$FAKE_BBCP" in
    fail) echo "bbcp: Unable to connect; connection refused" >&2; exit 2 ;;
    full) printf half >"$2"; echo "bbcp: Unable to write $2; no space left on device" >&2; exit 28 ;;
    lie) printf DATA >"$2"; exit 0 ;;
    nothing) exit 0 ;;
esac
cp -p "${1#*:}" "$2" 2>/dev/null || { echo "bbcp: File ${1#*:} does not exist." >&2; exit 2; }
"""


@pytest.fixture
def bbcp(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    (tmp_path / "bin").mkdir()
    wrapper(tmp_path / "bin", "bbcp", STAND_IN)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    world.transfer = Transfer(ssh=world.transfer.ssh, bbcp="bbcp")
    yield monkeypatch


def test_bbcp_brings_files_and_leaves_odd_names_to_rsync(world: World, bbcp: pytest.MonkeyPatch) -> None:
    files = [
        world.put("acq/plain", b"data"),
        world.put("acq/o;dd", b"data"),
        world.file("acq/missing", b"data"),
    ]
    results = world.pull(Method.BBCP, *files)
    assert verdicts(results) == {
        "acq/plain": PULLED,
        "acq/o;dd": PULLED,
        "acq/missing": (Verdict.FAILED, Blame.SOURCE),
    }
    assert results["acq/plain"].method is Method.BBCP and results["acq/o;dd"].method is Method.RSYNC_SSH
    assert world.stages() == []


@pytest.mark.parametrize(
    ("behaviour", "blame"),
    [("fail", Blame.NETWORK), ("full", Blame.DESTINATION), ("lie", Blame.SOURCE), ("nothing", Blame.UNKNOWN)],
)
def test_bbcp_is_not_trusted(world: World, bbcp: pytest.MonkeyPatch, behaviour: str, blame: Blame) -> None:
    bbcp.setenv("FAKE_BBCP", behaviour)
    results = world.pull(Method.BBCP, world.put("acq/f", b"data"))
    assert verdicts(results) == {"acq/f": (Verdict.FAILED, blame)}
    assert world.found() == set() and world.stages() == []


# --- who may not write ----------------------------------------------------------------------------------


def test_a_file_longer_than_may_be_written_fails_alone_and_leaves_nothing(world: World) -> None:
    files = [
        world.put("acq/small", b"data"),
        world.put("acq/large", os.urandom(200_000)),
        world.put("acq/z", b"data"),
    ]
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        results = verdicts(world.pull(Method.COPY, *files))
        trouble = (Verdict.FAILED, Blame.UNKNOWN)
        os._exit(0 if results == {"acq/small": PULLED, "acq/large": trouble, "acq/z": PULLED} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert world.found() == {"acq/small", "acq/z"}
    assert world.stages() == []
