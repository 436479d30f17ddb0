"""Big files fetched in several streams from a real ssh server, whose `dd` is watched."""

from __future__ import annotations

import json
import os
import pickle
import random
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alpenhorn.io.default import DefaultNode
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.transfer import range_part
from alpenhorn.transfer.byte_ranges import BLOCK
from alpenhorn.workers.pull import pull
from tests.fixtures.sshd import Sshd, require_ssh
from tests.workers.test_pull import HOSTILE, PULLED, World, verdicts, wrapper

M = 2**20
SIZE_B = 24 * M + 12345
STREAMS = 4

# Writes down each request, and does what the test's `behave` says.
DD = """\
for word; do case $word in skip=*) skip=${{word#*=}};; count=*) count=${{word#*=}};; esac; done
echo $skip $count >>{base}/requests
[ ! -e {base}/behave ] || . {base}/behave
exec {dd} "$@"
"""


class Source:
    """The ssh server and the requests for ranges that reached it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "bin").mkdir()
        dd = shutil.which("dd")
        wrapper(base / "bin", "dd", DD.format(base=shlex.quote(str(base)), dd=dd))
        self.sshd = Sshd(base)
        self.sshd.stop()
        config = base / "sshd_config"
        # No connection is shared, and no two log in at the same time.
        few = config.read_text().replace("MaxStartups 200:30:400", "MaxStartups 2\nMaxSessions 1")
        config.write_text(f"{few}SetEnv PATH={base / 'bin'}:/usr/local/bin:/usr/bin:/bin\n")
        self.sshd.start()

    def behave(self, script: str) -> None:
        (self.base / "behave").write_text(script)

    def forget(self) -> None:
        for name in ("requests", "behave"):
            (self.base / name).unlink(missing_ok=True)

    def requests(self) -> list[range]:
        """Return the requested ranges in bytes, in order."""
        path = self.base / "requests"
        lines = path.read_text().splitlines() if path.exists() else []
        numbers = [tuple(map(int, line.split())) for line in lines]
        return [range(skip * BLOCK, (skip + count) * BLOCK) for skip, count in numbers]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    require_ssh()
    source = Source(tmp_path_factory.mktemp("source"))
    yield source
    source.sshd.stop()


@pytest.fixture
def source(server: Source) -> Source:
    server.forget()
    return server


@pytest.fixture
def world(tmp_path: Path, source: Source) -> World:
    world = World(tmp_path, source.sshd)
    world.transfer = world.transfer._replace(streams=STREAMS)
    world.stage = "part-7-abc"
    return world


def job_of(world: World, file: PullFile, rate: int = 0) -> PullJob:
    return PullJob(world.source_fact, world.fact, Method.STREAMS, (file,), rate)


def fetch(world: World, file: PullFile, rate: int = 0, **more: str | float) -> PullResult | None:
    """Pull with the marker as witness; None for no result."""
    job = job_of(world, file, rate)
    node = DefaultNode(world.fact, {})
    witness = str(more.pop("witness", "ALPENHORN_NODE"))
    results = pull(job, node, world.stage, world.transfer, world.report, None, witness, **more)  # type: ignore[arg-type]
    return results[0] if results else None


def in_stage(world: World, name: str) -> Path:
    return world.here / ".alpenhorn" / world.stage / name


def written(world: World) -> list[range]:
    """Return the ranges in the map, all of which must have the bytes of the source."""
    try:
        found = json.loads(in_stage(world, range_part.MAP).read_text())["written"]
    except FileNotFoundError:
        return []
    return [range(start, end) for start, end in found]


def check_map(world: World, data: bytes) -> int:
    """Check that the part holds what the map lists; return the number of these bytes."""
    for one in written(world):
        with in_stage(world, range_part.PART).open("rb") as part:
            part.seek(one.start)
            assert part.read(len(one)) == data[one.start : one.stop]
    return sum(map(len, written(world)))


def is_here(world: World, file: PullFile, data: bytes) -> bool:
    # Not with == in an assertion, whose report of a difference would take minutes.
    return (world.here / file.path).read_bytes() == data and world.stages() == []


def overlap(one: range, others: list[range]) -> int:
    return sum(max(0, min(one.stop, other.stop) - max(one.start, other.start)) for other in others)


# --- whole files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_b", [SIZE_B, BLOCK, 5])
def test_a_file_arrives_in_several_streams_each_byte_once(world: World, source: Source, size_b: int) -> None:
    data = os.urandom(size_b)
    file = world.put("acq/deep/big", data)._replace(sha256="")
    (world.source / file.path).chmod(0o440)
    os.utime(world.source / file.path, ns=(10**18, 10**18 + 7))
    result = fetch(world, file)
    assert result is not None and (result.verdict, result.method) == (Verdict.PULLED, Method.STREAMS)
    assert is_here(world, file, data)
    status = (world.here / file.path).stat()
    assert stat.S_IMODE(status.st_mode) == 0o440 and status.st_mtime_ns == 10**18 + 7
    assert result.space_b == status.st_blocks * 512 and len(result.sha256) == 64
    asked = sorted(source.requests(), key=lambda one: one.start)
    assert [one.start for one in asked] == [0, *(one.stop for one in asked[:-1])]
    assert asked[-1].stop >= size_b > asked[-1].start
    assert size_b <= world.report.bytes <= size_b + 100  # the marker, too


def test_all_streams_take_part_and_the_file_grows_from_its_start(world: World, source: Source) -> None:
    """No range is sent before each stream was asked for one: a stream sends one after another."""
    source.behave(f"while [ $(wc -l <{source.base}/requests) -lt {STREAMS} ]; do sleep 0.01; done")
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    starts = [one.start for one in source.requests()]
    late = max(number for number, start in enumerate(starts) if start < SIZE_B // 4)
    assert all(start < 3 * SIZE_B // 4 for start in starts[:late])


def test_hostile_names_are_only_names(world: World, source: Source) -> None:
    file = world.put("acq/" + "/".join(HOSTILE) + "/" + HOSTILE[0], b"data" * 1000)
    result = fetch(world, file)
    assert result is not None and (result.verdict, result.method) == (Verdict.PULLED, Method.STREAMS)
    assert sorted(os.listdir(world.here.parent)) == ["here", "source"]


def test_a_link_of_the_source_is_not_followed(world: World, source: Source) -> None:
    file = world.put("acq/real", b"data")._replace(path="acq/link")
    (world.source / "acq/link").symlink_to("real")
    result = fetch(world, file)
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.SOURCE)


# --- interruptions --------------------------------------------------------------------------------------

RATE = 12 * M  # bytes per second, for transfers that are interrupted


def test_a_stop_keeps_what_arrived_and_no_byte_of_it_is_fetched_again(world: World, source: Source) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    world.report.stopping = lambda: len(written(world)) > 0
    assert fetch(world, file, RATE) is None
    assert 0 < check_map(world, data) < SIZE_B and world.found() == set()
    kept = written(world)
    source.forget()
    world.report.stopping = lambda: False
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert not any(overlap(one, kept) for one in source.requests())


WORKER = """\
import pickle, sys
from alpenhorn.io.default import DefaultNode
from alpenhorn.workers.pull import pull
from tests.workers.test_pull import Report
job, fact, stage, transfer = pickle.load(sys.stdin.buffer)
pull(job, DefaultNode(fact, {}), stage, transfer, Report(), None, "ALPENHORN_NODE")
"""


def killed(world: World, job: bytes, moment: float) -> None:
    """Start a worker, and kill it after the map has changed and `moment` more seconds."""
    before = written(world)
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(job)
    worker.stdin.close()
    wait_until(lambda: written(world) != before or worker.poll() is not None)
    time.sleep(moment)
    worker.kill()
    worker.wait()


def test_a_worker_killed_at_any_moment_leaves_a_true_map(world: World, source: Source) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    job = pickle.dumps((job_of(world, file, RATE // 2), world.fact, world.stage, world.transfer))
    moments = random.Random(15)
    had = 0
    for _ in range(3):
        source.forget()
        before = written(world)
        killed(world, job, moments.random() * range_part.SAVE_SECONDS)
        assert not any(overlap(one, before) for one in source.requests())
        now = check_map(world, data)
        assert now > had and world.found() == set()
        had = now
    kept = written(world)
    source.forget()
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert not any(overlap(one, kept) for one in source.requests())


def test_the_map_is_replaced_after_the_bytes_in_it_were_flushed(world: World, source: Source) -> None:
    """So that a loss of power leaves no map that lists bytes that are not there."""
    file = world.put("acq/big", os.urandom(SIZE_B))
    job = pickle.dumps((job_of(world, file, RATE), world.fact, world.stage, world.transfer))
    log = world.here.parent / "calls"
    traced = "trace=fdatasync,fsync,rename,renameat,renameat2"
    strace = ["strace", "-f", "-qq", "-y", "--seccomp-bpf", "-o", str(log), "-e", traced]
    subprocess.run([*strace, sys.executable, "-c", WORKER], input=job, check=True)
    assert (world.here / file.path).exists()
    calls = [
        line for line in log.read_text().splitlines() if range_part.PART in line and line.endswith("= 0")
    ]
    steps = ""
    for call in calls:
        if "rename" in call and range_part.MAP in call:
            steps += "R"
        elif "fdatasync" in call:
            steps += "d"
        elif "fsync" in call and ".new" in call:
            steps += "s"
    assert steps == "dsR" * (len(steps) // 3) and len(steps) >= 6


# Sends a piece of a range and kills the sshd of its session.
CUT = """{dd} "$@" | head -c 300000; kill -9 $(ps -o ppid= -p $PPID); exit 1"""


def test_streams_that_are_cut_are_replaced_and_their_ranges_continued(world: World, source: Source) -> None:
    """Each fifth request."""
    cut = CUT.format(dd=shutil.which("dd"))
    source.behave(f"if [ $(($(wc -l <{source.base}/requests) % 5)) = 0 ]; then {cut}; fi")
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    asked = source.requests()
    cuts = len(asked) // 5
    assert cuts >= 2
    # Of a cut range, what arrived is not asked for again; a second range is asked for ahead.
    assert sum(overlap(one, asked) - len(one) for one in asked) < 2 * 2 * cuts * 8 * M


def test_a_lost_network_keeps_what_arrived(world: World, source: Source) -> None:
    """From the sixth request on, each session ends, and so does the server."""
    cut = CUT.format(dd=shutil.which("dd"))
    listener = f"kill $(cat {source.base}/sshd.pid)"
    source.behave(f"if [ $(wc -l <{source.base}/requests) -gt 6 ]; then {listener}; {cut}; fi")
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    try:
        result = fetch(world, file)
    finally:
        source.sshd.stop()
        source.sshd.start()
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.NETWORK)
    assert result.advanced and not result.unmounted
    assert 4 * M < check_map(world, data) < SIZE_B and world.found() == set()
    kept = written(world)
    source.forget()
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert not any(overlap(one, kept) for one in source.requests())


def test_a_stalled_link_ends_the_job(world: World, source: Source) -> None:
    source.behave(f"if [ $(wc -l <{source.base}/requests) -gt 6 ]; then exec sleep 30; fi")
    world.transfer = world.transfer._replace(stall_timeout=1.0)
    file = world.put("acq/big", os.urandom(SIZE_B))
    result = fetch(world, file)
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.NETWORK)
    assert "1" in result.error and sum(map(len, written(world))) > 0


def test_a_job_ends_before_its_time_limit(world: World, source: Source) -> None:
    source.behave(f"if [ $(wc -l <{source.base}/requests) -gt 6 ]; then exec sleep 30; fi")
    file = world.put("acq/big", os.urandom(SIZE_B))
    began = time.monotonic()
    result = fetch(world, file, deadline=4.0)
    assert time.monotonic() - began < 10
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.NETWORK)


# --- sources --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["missing", "shorter", "other", "unmounted", "marker"])
def test_the_verdict_is_that_of_rsync(world: World, source: Source, trouble: str) -> None:
    data = os.urandom(M)
    file = world.put("acq/big", data)
    path = world.source / file.path
    match trouble:
        case "missing":
            path.unlink()
        case "shorter":
            path.write_bytes(data[:-1])
        case "other":
            path.write_bytes(data[:-1] + b"x")
        case "unmounted":
            world.source.rename(world.source.parent / "elsewhere")
            world.source.mkdir()
        case "marker":  # the wrong storage is mounted, with a file of that name and other contents
            path.write_bytes(data[:-1] + b"x")
            (world.source / "ALPENHORN_NODE").write_text("another\n")
    found = fetch(world, file)
    assert found is not None and found.verdict is Verdict.FAILED and world.stages() == []
    job = job_of(world, file)._replace(method=Method.RSYNC_SSH)
    (same,) = pull(
        job, DefaultNode(world.fact, {}), "s1", world.transfer, world.report, None, "ALPENHORN_NODE"
    )
    assert (found.verdict, found.blame, found.unmounted) == (same.verdict, same.blame, same.unmounted)
    assert getattr(found.error, "code", 1) == getattr(same.error, "code", 1)


CHANGES = {
    "written": "printf x | {dd} of={file} bs=1 seek=$(({size_b} - 1)) conv=notrunc 2>/dev/null",
    "cut": "truncate -s {M} {file}",
    "removed": "rm -f {file}",
    "replaced": "cp {file} {file}.new; printf x >>{file}.new; mv {file}.new {file}",
    "unmounted": "mv {root} {root}.away; mkdir {root}",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_while_it_is_read_is_not_believed(
    world: World, source: Source, change: str
) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    script = CHANGES[change].format(
        dd=shutil.which("dd"), file=world.source / file.path, root=world.source, size_b=SIZE_B, M=M
    )
    source.behave(f"if mkdir {source.base}/changed 2>/dev/null; then {script}; fi")
    try:
        result = fetch(world, file)
    finally:
        (source.base / "changed").rmdir()
    assert result is not None and result.verdict is Verdict.FAILED and world.found() == set()
    assert result.blame is (Blame.NETWORK if change == "unmounted" else Blame.SOURCE)
    assert result.unmounted == (change == "unmounted")
    assert change == "unmounted" or world.stages() == []


# --- sources that cannot serve streams ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "after"),
    [("exit 127", 0), ('dd "$@" | head -c 1000; exit 0', 6), ('dd "$@"; echo; exit 0', 6)],
    ids=["none", "short", "long"],
)
def test_rsync_takes_over_if_dd_does_not_do_what_is_expected(
    world: World, source: Source, fault: str, after: int
) -> None:
    fault = fault.replace("dd ", f"{shutil.which('dd')} ")
    source.behave(f"if [ $(wc -l <{source.base}/requests) -gt {after} ]; then {fault}; fi")
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    log = world.here.parent / "parts"
    part = in_stage(world, file.path)
    slow = wrapper(
        world.here.parent, "rsync-logged", f'stat -c %s {part} >>{log} 2>/dev/null; exec rsync "$@"'
    )
    world.transfer = world.transfer._replace(rsync=slow)
    result = fetch(world, file)
    assert result is not None and result.method is Method.RSYNC_SSH and is_here(world, file, data)
    if after:  # it continues from the first gap
        assert M <= int(log.read_text().split()[0]) < SIZE_B
    else:
        assert not log.exists() or log.read_text() == ""


def test_a_key_restricted_to_rsync_gets_rsync(world: World, source: Source) -> None:
    keys = source.base / "authorized_keys"
    before = keys.read_text()
    restricted = "case $SSH_ORIGINAL_COMMAND in rsync*) eval exec $SSH_ORIGINAL_COMMAND;; *) echo no >&2; exit 1;; esac"
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    try:
        keys.write_text(f'command="{restricted}" {before}')
        result = fetch(world, file)
    finally:
        keys.write_text(before)
    assert result is not None and result.method is Method.RSYNC_SSH and is_here(world, file, data)
    assert source.requests() == []


def test_a_server_that_admits_two_sessions_gets_two(world: World, source: Source) -> None:
    logins = world.here.parent / "logins"
    ssh = " ".join(source.sshd.ssh)
    few = wrapper(
        world.here.parent,
        "few",
        f'case "$*" in *rsync*) ;; *) echo >>{logins}; [ $(wc -l <{logins}) -le 2 ] || exit 255;; esac\n'
        f'exec {ssh} "$@"',
    )
    world.transfer = world.transfer._replace(ssh=(few,))
    source.behave(f"while [ $(wc -l <{logins}) -lt 3 ]; do sleep 0.01; done")
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert len(logins.read_text()) == 3  # it does not insist


def test_an_unreachable_host_is_network_trouble(world: World) -> None:
    world.transfer = world.transfer._replace(ssh=("ssh", "-p", "1", *world.transfer.ssh[1:]))
    result = fetch(world, world.put("acq/f", b"data"))
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.NETWORK)
    assert not result.advanced and world.stages() == []


# --- parts ----------------------------------------------------------------------------------------------


def test_a_part_that_is_not_what_its_map_says_is_fetched_once_more(world: World, source: Source) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    in_stage(world, "").mkdir(parents=True)
    in_stage(world, range_part.PART).write_bytes(bytes(SIZE_B))
    known = {"size_b": SIZE_B, "md5sum": file.md5sum, "written": [[0, 8 * M], [16 * M, SIZE_B]]}
    in_stage(world, range_part.MAP).write_text(json.dumps(known))
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert SIZE_B + 8 * M <= sum(map(len, source.requests())) < SIZE_B + 8 * M + 2 * BLOCK


def test_streams_continue_a_part_of_rsync(world: World, source: Source) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    part = in_stage(world, file.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(data[: 10 * M + 77])
    part.chmod(0o400)
    result = fetch(world, file)
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert min(one.start for one in source.requests()) == 10 * M


@pytest.mark.parametrize("written", [[[0, 8 * M], [12 * M, 20 * M]], [[4 * M, 20 * M]]])
def test_rsync_continues_a_part_of_streams_up_to_its_first_gap(
    world: World, source: Source, written: list[list[int]]
) -> None:
    data = os.urandom(SIZE_B)
    file = world.put("acq/big", data)
    stage = in_stage(world, "")
    stage.mkdir(parents=True)
    holes = bytearray(SIZE_B)
    for start, end in written:
        holes[start:end] = data[start:end]
    (stage / range_part.PART).write_bytes(holes)
    known = {"size_b": SIZE_B, "md5sum": file.md5sum, "written": written}
    (stage / range_part.MAP).write_text(json.dumps(known))
    log = world.here.parent / "parts"
    part = in_stage(world, file.path)
    logged = wrapper(world.here.parent, "rsync-logged", f'stat -c %s {part} >>{log}; exec rsync "$@"')
    world.transfer = world.transfer._replace(rsync=logged)
    assert verdicts(world.pull(Method.RSYNC_SSH, file)) == {file.path: PULLED}
    assert is_here(world, file, data)
    assert log.read_text() == (f"{written[0][1]}\n" if written[0][0] == 0 else "")


def test_a_wrong_file_without_an_earlier_part_is_fetched_once(world: World, source: Source) -> None:
    file = world.file("acq/big", bytes(SIZE_B))
    world.put("acq/big", bytes(SIZE_B - 1) + b"x")
    result = fetch(world, file)
    assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.SOURCE)
    assert sum(map(len, source.requests())) < SIZE_B + BLOCK and world.stages() == []


# --- limits ---------------------------------------------------------------------------------------------


def test_all_streams_together_keep_below_the_rate(world: World, source: Source) -> None:
    data = os.urandom(16 * M)
    file = world.put("acq/big", data)
    began = time.monotonic()
    result = fetch(world, file, rate=8 * M)
    seconds = time.monotonic() - began
    assert result is not None and result.method is Method.STREAMS and is_here(world, file, data)
    assert seconds >= 16 / 8 * 0.9


def test_a_low_rate_is_left_to_rsync(world: World, source: Source) -> None:
    file = world.put("acq/big", os.urandom(2 * M))
    result = fetch(world, file, rate=3 * M)
    assert result is not None and result.method is Method.RSYNC_SSH and source.requests() == []


def test_a_full_file_system_is_the_destinations_fault_and_leaves_no_part(
    world: World, source: Source
) -> None:
    small = world.here / ".alpenhorn"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", str(small)], check=True)
    try:
        result = fetch(world, world.put("acq/big", os.urandom(SIZE_B)))
        assert result is not None and (result.verdict, result.blame) == (Verdict.FAILED, Blame.DESTINATION)
        assert "space" in result.error and world.stages() == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
