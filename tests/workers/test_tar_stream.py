"""Small files of another host in a tar stream: what is accepted, and what is left to rsync."""

from __future__ import annotations

import itertools
import os
import sys
import time

import psutil
import pytest

from alpenhorn.config import Transfer
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.workers.pull import pull
from tests.fixtures.sshd import Sshd
from tests.workers.test_pull import PULLED, World, verdicts, world, wrapper

__all__ = ["world"]

NETWORK = (Verdict.FAILED, Blame.NETWORK)


def pulled(
    world: World, *files: PullFile, without: set[str] | None = None, witness: str = "", rate: int = 0
) -> dict[str, PullResult]:
    job = PullJob(world.source_fact, world.fact, Method.TAR, files, rate)
    results = pull(
        job,
        DefaultNode(world.fact, {}),
        world.stage,
        world.transfer,
        world.report,
        witness=witness,
        without_tar=without,
    )
    return {result.file.path: result for result in results}


def methods(results: dict[str, PullResult]) -> dict[str, Method | None]:
    return {path: result.method for path, result in results.items()}


def instead_of_tar(world: World, sshd: Sshd, script: str) -> None:
    """Have the other host run a shell script as tar; `calls` counts its sessions.

    Its arguments are those of tar.  rsync is not affected.
    """
    base = world.here.parent
    program = wrapper(base, "tar", f"echo >>{base / 'calls'}\n{script}")
    between = wrapper(
        base,
        "ssh",
        f"""
        left=$#
        for word; do
            shift
            left=$((left - 1))
            case $left$word in
                0*" tar --null"*) word="${{word%%" tar --null"*}} {program} --null${{word#*" tar --null"}}" ;;
            esac
            set -- "$@" "$word"
        done
        exec {" ".join(sshd.ssh)} "$@"
        """,
    )
    world.transfer = Transfer(ssh=(between,))


def calls(world: World) -> int:
    return (world.here.parent / "calls").read_text().count("\n")


def all_right(world: World, files: list[PullFile]) -> bool:
    return world.found() == {file.path for file in files} and all(
        (world.here / file.path).read_bytes() == (world.source / file.path).read_bytes() for file in files
    )


LIAR = """
import io, sys, tarfile
sys.stdin.buffer.read()
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT)
def add(name, data=b"", kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, "good"
    for key, value in more.items():
        setattr(info, key, value)
    out.addfile(info, io.BytesIO(data))
add("./acq/padded", b"012345\\0\\0\\0\\0")
add("./acq/cut", b"01234")
add("./acq/longer", b"0123456789more")
add("./acq/link", kind=tarfile.LNKTYPE)
add("./acq/symlink", kind=tarfile.SYMTYPE)
add("./acq/directory", kind=tarfile.DIRTYPE)
add("./acq/good", b"0123456789")
add("./acq/good", b"9876543210")
add("./acq/wrong-first", b"9876543210")
add("./acq/wrong-first", b"0123456789")
add("./acq/when", b"0123456789", pax_headers={"mtime": "9" * 40})
add("./acq/nobody-asked", b"0123456789")
add("./../outside", b"0123456789")
add("/outside", b"0123456789")
add("./.alpenhorn-0", b"0123456789")
out.close()
"""


def test_nothing_that_tar_says_is_believed(world: World, sshd: Sshd) -> None:
    (world.here.parent / "liar.py").write_text(LIAR)
    instead_of_tar(world, sshd, f"exec {sys.executable} {world.here.parent / 'liar.py'}")
    names = (
        "padded",
        "cut",
        "longer",
        "link",
        "symlink",
        "directory",
        "good",
        "wrong-first",
        "when",
        "silent",
    )
    files = [world.put(f"acq/{name}", b"0123456789") for name in names]
    results = pulled(world, *files)
    assert verdicts(results) == {file.path: PULLED for file in files}
    assert {path for path, method in methods(results).items() if method is Method.TAR} == {"acq/good"}
    assert all_right(world, files) and world.stages() == []
    assert sorted(os.listdir(world.here.parent)) == ["calls", "here", "liar.py", "source", "ssh", "tar"]


@pytest.mark.parametrize("at", [0, 1700, 5000, 30_000, 31_744])
def test_what_a_stream_that_is_cut_does_not_bring_comes_with_rsync(world: World, sshd: Sshd, at: int) -> None:
    instead_of_tar(world, sshd, f'tar "$@" | head -c {at}')
    files = [world.put(f"acq/{number}", os.urandom(5000)) for number in range(5)]
    results = pulled(world, *files)
    assert verdicts(results) == {file.path: PULLED for file in files}
    # A member takes 512 bytes for the records, twice, the header, and the data.
    whole = at // (3 * 512 + 5120)
    assert list(methods(results).values()) == [Method.TAR] * whole + [Method.RSYNC_SSH] * (5 - whole)
    assert all_right(world, files) and world.stages() == []


@pytest.mark.parametrize(
    "script",
    [
        "exec no-such-tar",
        "echo no tar for this key >&2; exit 255",
        "echo \"tar: unrecognized option '--null'\" >&2; exit 1",
        'echo welcome; exec tar "$@"',
    ],
)
def test_a_host_without_a_usable_tar_is_asked_once(world: World, sshd: Sshd, script: str) -> None:
    instead_of_tar(world, sshd, script)
    without: set[str] = set()
    for number in range(2):
        file = world.put(f"acq/{number}", b"data")
        world.stage = f"s{number}"
        results = pulled(world, file, without=without)
        assert verdicts(results) == {file.path: PULLED} and results[file.path].method is Method.RSYNC_SSH
    assert without == {"host1"} and calls(world) == 1


def test_a_host_whose_files_are_all_missing_is_asked_again(world: World) -> None:
    without: set[str] = set()
    results = pulled(world, world.file("acq/gone", b"data"), without=without)
    assert verdicts(results) == {"acq/gone": (Verdict.FAILED, Blame.SOURCE)} and without == set()


def test_a_connection_that_is_lost_keeps_what_came_whole(world: World, sshd: Sshd) -> None:
    ssh = " ".join(sshd.ssh)
    world.transfer = Transfer(
        ssh=(
            wrapper(
                world.here.parent,
                "ssh",
                f'{ssh} "$@" | head -c 20000; echo "client_loop: send disconnect: Broken pipe" >&2; exit 255',
            ),
        )
    )
    files = [world.put(f"acq/{number}", os.urandom(5000)) for number in range(10)]
    results = pulled(world, *files)
    assert list(verdicts(results).values()) == [PULLED] * 3 + [NETWORK] * 7
    assert all(result.advanced for result in results.values() if result.verdict is Verdict.FAILED)
    assert "connection" in results["acq/9"].error
    assert all_right(world, files[:3]) and world.stages() == []


def test_a_session_that_stalls_ends_and_keeps_what_came_whole(world: World, sshd: Sshd) -> None:
    instead_of_tar(world, sshd, 'tar "$@" | head -c 20000; exec sleep 1000')
    world.transfer = world.transfer._replace(stall_timeout=0.5)
    files = [world.put(f"acq/{number}", os.urandom(5000)) for number in range(10)]
    began = time.monotonic()
    results = pulled(world, *files)
    assert time.monotonic() - began < 30
    assert list(verdicts(results).values()) == [PULLED] * 3 + [NETWORK] * 7
    assert all_right(world, files[:3]) and world.stages() == []


def test_a_stop_is_obeyed_at_once_and_leaves_no_process(world: World, sshd: Sshd) -> None:
    instead_of_tar(world, sshd, 'tar "$@" | head -c 20000; exec sleep 1000')
    files = [world.put(f"acq/{number}", os.urandom(5000)) for number in range(10)]
    world.report.stopping = lambda: len(staged(world)) >= 3
    results = pulled(world, *files)
    assert list(verdicts(results).values()) == [PULLED] * 3
    assert all_right(world, files[:3]) and world.stages() == []
    assert not [child for child in psutil.Process().children() if child.name() == "ssh"]


def staged(world: World) -> list[str]:
    stage = world.here / ".alpenhorn" / world.stage
    return os.listdir(stage) if stage.exists() else []


def test_files_missing_on_an_unmounted_storage_say_nothing_about_their_copies(world: World) -> None:
    good = world.put("acq/good", b"data")
    (world.source / "ALPENHORN_NODE").unlink()
    results = pulled(world, good, world.file("acq/gone", b"data"), witness="ALPENHORN_NODE")
    assert verdicts(results) == {"acq/good": PULLED, "acq/gone": NETWORK}
    assert results["acq/gone"].unmounted


def test_attributes_are_those_that_rsync_gives(world: World) -> None:
    files = []
    owners = ((0, 0), (1, 1), (4711, 4712)) if os.geteuid() == 0 else ((os.getuid(), os.getgid()),)
    for number, (mode, owner) in enumerate(itertools.product((0o640, 0o400, 0o6755), owners)):
        files.append(world.put(f"acq/{number}", b"data"))
        os.chown(world.source / files[-1].path, *owner)
        (world.source / files[-1].path).chmod(mode)
        os.utime(world.source / files[-1].path, ns=(10**18, 10**18 + number))
    found = []
    for method in (Method.TAR, Method.RSYNC_SSH):
        assert set(methods(world.pull(method, *files)).values()) == {method}
        status = [(world.here / file.path).stat() for file in files]
        found.append([(one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) for one in status])
        for file in files:
            (world.here / file.path).unlink()
    assert found[0] == found[1]


def test_several_names_of_one_file_all_come(world: World) -> None:
    files = [world.put("acq/a", b"data")]
    for name in ("acq/b", "acq/c"):
        os.link(world.source / "acq/a", world.source / name)
        files.append(world.file(name, b"data"))
    assert verdicts(pulled(world, *files)) == {file.path: PULLED for file in files}
    assert len({(world.here / file.path).stat().st_ino for file in files}) == 3


def test_with_a_limit_and_for_a_part_rsync_is_used(world: World) -> None:
    file = world.put("acq/f", b"data")
    assert methods(pulled(world, file, rate=10**6)) == {"acq/f": Method.RSYNC_SSH}
    (world.here / "acq/f").unlink()
    world.stage = "part-7-abc"
    assert methods(pulled(world, file)) == {"acq/f": Method.RSYNC_SSH}


def test_progress_is_counted_once(world: World) -> None:
    files = [world.put(f"acq/{number}", os.urandom(1000)) for number in range(20)]
    rotten = world.file("acq/rotten", b"data")
    world.put("acq/rotten", b"rots")
    pulled(world, *files, rotten)
    assert world.report.files == 21 and world.report.bytes >= 20_000


def test_a_big_file_in_the_job_comes_with_rsync_into_the_same_stage(world: World) -> None:
    small, big = world.put("acq/small", b"data"), world.put("0/big", os.urandom(2**20 + 1))
    assert methods(pulled(world, small, big)) == {"acq/small": Method.TAR, "0/big": Method.RSYNC_SSH}
    assert all_right(world, [small, big])
