"""Hard links with `verify_links = false`: a source is read unless it has the status with which it was verified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.filesystems import mounted

SCRIPT = """
import hashlib, json, mmap, os, sys, time
from contextlib import ExitStack
from pathlib import Path
from alpenhorn.config import Transfer
from alpenhorn.fs.verified_status import LEAST_B, StatusTaker
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.workers.pull import pull
from tests.fs.test_verified_status import OLD, await_tick, link, overwrite, replace

BYTES = b"x" * LEAST_B
base = sys.argv[1]
later = StatusTaker(time.time() + 60)

class Report:
    def __init__(self, on_begin, on_ask=lambda: None): self.on_begin, self.on_ask = on_begin, on_ask
    def stopping(self): self.on_ask()
    def begin(self, path): self.on_begin(path)
    def fail(self): pass
    def progress(self, files, bytes): pass

def node(id, name):
    root = os.path.join(base, name)
    return DefaultNode(NodeFact(id, name, root, id, "host", None, None, True, False, None, None, None, 0.0, None), {})

def path_of(name): return Path(base, "first/acq", name)

def make(name, at=OLD):
    path_of(name).write_bytes(BYTES)
    os.utime(path_of(name), ns=(at, at))
    await_tick(Path(base))

def known(name):
    fd = os.open(path_of(name), os.O_RDONLY)
    status = later.before_reading(fd, LEAST_B)
    os.close(fd)
    assert status
    await_tick(Path(base))
    return status

def pulled(
    name, status, *others, verify=False, sha256=None, on_begin=lambda path: None, method=Method.LINK, mark="", of=None,
    on_ask=lambda: None,
):
    source, target = of or (first, second)
    files = [
        PullFile(n, n, f"acq/{file}", LEAST_B, hashlib.md5(BYTES).hexdigest(), sha256=sha256, verified_status=status)
        for n, file in enumerate((name, *others))
    ]
    job = PullJob(source.node, target.node, method, tuple(files))
    os.path.lexists(f"/begin {mark or name} {name}")
    result, *_ = pull(job, target, "stage", Transfer(verify_links=verify), Report(on_begin, on_ask), source)
    os.path.lexists(f"/end {mark or name} {name}")
    placed = Path(target.root, "acq", name)
    has_status = placed.exists() and result.verified_status == later.text(placed.stat())
    answers[mark or name] = (result.verdict, result.method, result.unread, has_status, result.sha256)
    return result

def changed(name, change):
    make(name)
    status = known(name)
    change(path_of(name))
    pulled(name, status)

def meanwhile(name, change):
    make(name)
    make(f"{name}-next")
    def on_begin(path):
        if path == f"acq/{name}-next" and name not in begun:
            begun.add(name)
            change(path_of(name))
    pulled(name, known(name), f"{name}-next", on_begin=on_begin)

first, second, third = node(1, "first"), node(2, "second"), node(3, "third")
answers, begun = {}, set()

changed("same", lambda path: None)
changed("overwritten", overwrite)
changed("replaced", replace)
changed("linked", link)
changed("chmod", lambda path: path.chmod(0o600))
meanwhile("overwritten-meanwhile", overwrite)
meanwhile("linked-meanwhile", link)

# Change a file while the worker waits for the tree lock to link it.
def while_waiting(name, change):
    make(name)
    status, asked = known(name), []
    lock = TreeLock(second.root, 60.0, lambda: False)
    with ExitStack() as held:
        held.enter_context(lock.down())
        def on_ask():
            asked.append(1)
            if len(asked) == 2:  # the first time is before the file
                change(path_of(name))
                held.close()
        pulled(name, status, on_ask=on_ask)
    assert len(asked) >= 2
    lock.close()

while_waiting("overwritten-while-waiting", overwrite)
while_waiting("linked-while-waiting", link)

make("unknown")
pulled("unknown", "")

make("restarted")
boot, _, rest = known("restarted").partition(" ")
pulled("restarted", f"{'0' * len(boot)} {rest}")

make("verify")
pulled("verify", known("verify"), verify=True)

make("sha256")
pulled("sha256", known("sha256"), sha256="1a" * 32)

make("written-lately", time.time_ns())
pulled("written-lately", known("written-lately"))

make("mapped")
with path_of("mapped").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[0] = BYTES[0]
    status = known("mapped")
    mapped[0] = 0
    pulled("mapped", status)

make("copied")
status = pulled("copied", "", method=Method.COPY, mark="copy").verified_status
await_tick(Path(base))
pulled("copied", status, of=(second, third))

make("again")
pulled("again", known("again"))
os.unlink(Path(base, "second/acq/again"))
pulled("again", later.text(path_of("again").stat()))
print(json.dumps(answers))
"""


class Linked(NamedTuple):
    """What became of a file: its result, and whether its bytes were read."""

    verdict: str
    method: str
    unread: bool
    has_status: bool
    sha256: str
    was_read: bool


UNREAD = Linked("pulled", "hard link", True, True, "", False)
READ = Linked("pulled", "hard link", False, False, "", True)
CHANGED = READ._replace(verdict="failed")

EXPECTED = {
    "same": UNREAD,
    "copy": Linked("pulled", "copy", False, True, "", True),
    "copied": UNREAD,
    "again": UNREAD,
    "sha256": UNREAD._replace(sha256="1a" * 32),
    # A write in the tick of the link would leave all times as they are.
    "written-lately": UNREAD._replace(has_status=False),
    "overwritten": CHANGED,
    "mapped": CHANGED,
    "overwritten-meanwhile": CHANGED,
    "replaced": READ,
    "linked": READ,
    "chmod": READ,
    "linked-meanwhile": READ,
    "overwritten-while-waiting": CHANGED,
    "linked-while-waiting": READ,
    "unknown": READ,
    "restarted": READ,
    "verify": READ,
}


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Linked]]:
    """Everything that the script has linked."""
    base = tmp_path_factory.mktemp("unread")
    with mounted("ext4", base, base / "disk", 64) as disk:
        for name in ("first", "second", "third"):
            (disk / name / "acq").mkdir(parents=True)
            (disk / name / MARKER).write_text(f"{name}\n")
        log = base / "log"
        argv = ["strace", "-f", "-y", "-o", str(log), sys.executable, "-c", SCRIPT, str(disk)]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        answers: dict[str, list[Any]] = json.loads(done.stdout)
        reads = _read(log)
        yield {name: Linked(*answer, name in reads) for name, answer in answers.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_source_is_read_unless_it_is_known_to_be_the_same(linked: dict[str, Linked], name: str) -> None:
    assert linked[name] == EXPECTED[name]


def test_every_case_is_expected(linked: dict[str, Linked]) -> None:
    assert linked.keys() == EXPECTED.keys()


def _read(log: Path) -> set[str]:
    """Return the names of the jobs that have read their first file."""
    found: set[str] = set()
    now = name = ""
    for line in log.read_text(errors="replace").splitlines():
        if mark := re.search(r'"/(begin|end) ([\w-]+) ([\w-]+)"', line):
            now, name = (mark[2], mark[3]) if mark[1] == "begin" else ("", "")
        elif now and re.search(rf"^\d+ +\w*(read|mmap|splice|sendfile|copy)\w*\(.*/acq/{name}>", line):
            found.add(now)
    return found
