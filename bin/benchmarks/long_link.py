"""One file over a long link: several streams compared with one session of rsync, as root.

The link joins two network namespaces, one with the ssh server.  Each has a network device whose packets, of 1,500
bytes, this program passes on after 25 ms, except for 1 % in each direction, which it drops.  Kernels with netem can
do the same; not all have it.  Both sides use cubic, the default of Linux: bbr hardly slows down for losses.
"""

from __future__ import annotations

import ctypes
import fcntl
import getpass
import hashlib
import json
import os
import random
import select
import shlex
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from alpenhorn.config import Transfer
from alpenhorn.fs.processes import die_with_parent
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.pull import pull
from benchmarks.clock import BenchFailed
from benchmarks.sshd import Sshd

SIZE_B = 48 * 2**20
STREAMS = (4, 6, 8)
DELAY = 0.025  # seconds
LOSS = 0.01
NEAR, FAR = "10.77.0.1", "10.77.0.2"

_PACKET = 65536
_NEW_DEVICE = 0x400454CA  # TUNSETIFF of tun(4)
_TUN, _NO_HEADER = 0x0001, 0x1000


def measure(base: Path, runs: int) -> str:
    """Return a table.  Raises BenchFailed."""
    if os.geteuid() != 0:
        raise BenchFailed("the long link needs network namespaces: run this as root")
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            raise BenchFailed(f"{program} is not on PATH")
    argv = ["unshare", "--net", sys.executable, "-B", "-m", "benchmarks.long_link", str(base), str(runs)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchFailed(f"nothing was measured: {done.stderr.strip()}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    rsync = found.pop("rsync")
    lines = [
        f"{SIZE_B // 2**20} MiB over a link of {2 * DELAY * 1000:.0f} ms that loses {LOSS:.0%} of the packets:",
        f"one session of rsync: {statistics.median(rsync):.1f} s",
    ]
    for name, times in found.items():
        ratios = [theirs / ours for theirs, ours in zip(rsync, times, strict=True)]
        lines.append(
            f"{name}, verified and flushed: {statistics.median(times):.1f} s,"
            f" {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) times as fast"
        )
    return "\n".join(lines)


def _inside(base: Path, runs: int) -> None:
    """Measure in a new network namespace, and print JSON: seconds by name."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as other:
        try:
            print(json.dumps(_measured(base, runs, other.pid)))
        finally:
            other.kill()


def _measured(base: Path, runs: int, other: int) -> dict[str, list[float]]:
    _wait_for_namespace(other)
    within = ("nsenter", f"--net=/proc/{other}/ns/net")
    near = _device("near", NEAR, FAR)
    far = _device_elsewhere(other)
    forwarder = os.fork()
    if forwarder == 0:
        die_with_parent(os.getppid())
        _forward(near, far)
    server = Sshd(base / "sshd", FAR, within)
    data = os.urandom(SIZE_B)
    (base / "source/acq").mkdir(parents=True)
    (base / "source/ALPENHORN_NODE").write_text("source\n")
    (base / "source/acq/f").write_bytes(data)
    file = PullFile(1, 1, "acq/f", SIZE_B, hashlib.md5(data).hexdigest())
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        argv = ["rsync", "-a", "--whole-file", "-e", shlex.join(server.ssh)]
        began = time.monotonic()
        subprocess.run([*argv, f"{FAR}:{base}/source/acq/f", str(base / "plain")], check=True)
        found.setdefault("rsync", []).append(time.monotonic() - began)
        (base / "plain").unlink()
        for streams in STREAMS:
            began = time.monotonic()
            _pull(base, file, Transfer(ssh=server.ssh, streams=streams))
            found.setdefault(f"{streams} streams", []).append(time.monotonic() - began)
            if (base / "here/acq/f").read_bytes() != data:
                raise BenchFailed("the file is not that of the source")
            shutil.rmtree(base / "here")
    server.stop()
    os.kill(forwarder, 9)
    return found


def _wait_for_namespace(process: int) -> None:
    """Wait until the process has left this namespace."""
    deadline = time.monotonic() + 10
    while os.stat(f"/proc/{process}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
        if time.monotonic() > deadline:
            raise BenchFailed("unshare made no network namespace")
        time.sleep(0.01)


def _device(name: str, address: str, peer: str) -> int:
    """Create a network device in this process's namespace; return the descriptor that has its packets."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _NEW_DEVICE, struct.pack("16sH22x", name.encode(), _TUN | _NO_HEADER))
    subprocess.run(["ip", "address", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "txqueuelen", "10000", "up"], check=True)
    # A namespace may not change its default.
    subprocess.run(["ip", "route", "replace", peer, "dev", name, "congctl", "cubic"], check=True)
    return fd


def _device_elsewhere(process: int) -> int:
    """Create the device at the far end, in the namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    try:
        for namespace in (there, here):
            if libc.setns(namespace, 0) != 0:
                raise BenchFailed(f"setns: {os.strerror(ctypes.get_errno())}")
            if namespace == there:
                fd = _device("far", FAR, NEAR)
    finally:
        os.close(here)
        os.close(there)
    return fd


def _forward(near: int, far: int) -> None:
    """Pass packets on, late and with losses, until this process is killed."""
    chance = random.Random(1)
    ways = {near: far, far: near}
    late: deque[tuple[float, int, bytes]] = deque()
    while True:
        pause = max(0.0, late[0][0] - time.monotonic()) if late else None
        for fd in select.select(list(ways), [], [], pause)[0]:
            try:
                while packet := os.read(fd, _PACKET):
                    if chance.random() >= LOSS:
                        late.append((time.monotonic() + DELAY, ways[fd], packet))
            except BlockingIOError:
                continue
        while late and late[0][0] <= time.monotonic():
            _, to, packet = late.popleft()
            try:
                os.write(to, packet)
            except OSError:  # one more loss
                continue


def _pull(base: Path, file: PullFile, transfer: Transfer) -> None:
    """Pull the file to a new node."""
    (base / "here").mkdir()
    (base / "here/ALPENHORN_NODE").write_text("here\n")
    source, here = (_node(number, base / name) for number, name in enumerate(("source", "here")))
    job = PullJob(source, here, Method.STREAMS, (file,))
    (result,) = pull(job, DefaultNode(here, {}), "part-1", transfer, _Silent(), None, "ALPENHORN_NODE")
    if result.verdict is not Verdict.PULLED or result.method is not Method.STREAMS:
        raise BenchFailed(f"the file was not pulled in streams: {result.method}, {result.error}")


def _node(number: int, root: Path) -> NodeFact:
    return NodeFact(
        id=number,
        name=root.name,
        root=str(root),
        group_id=number,
        host=f"host{number}",
        username=getpass.getuser(),
        address=FAR,
        active=True,
        archive=False,
        io_class=None,
        io_config=None,
        max_total_gb=None,
        min_avail_gb=0.0,
        avail_gb=None,
    )


class _Silent:
    """A reporter of progress that nobody reads."""

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        pass

    def stopping(self) -> bool:
        return False


if __name__ == "__main__":
    _inside(Path(sys.argv[1]), int(sys.argv[2]))
