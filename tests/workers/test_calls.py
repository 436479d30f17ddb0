"""The system calls for each small file: where they are dear, they take most of the time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from alpenhorn.model.nodes import MARKER

FEW, MANY = 20, 120

# Opening, reading, hashing and closing; for a copy also its space, attributes and name.
# Those with "kept" keep verified statuses, which costs nothing for small files.
MOST = {"copy": 12, "link": 6, "link kept": 6, "import": 6, "import kept": 6, "check": 4, "check kept": 4}

SCRIPT = """
import json, os, sys
from alpenhorn.config import Transfer
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.imports import ImportFile, ImportJob
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.check import check
from alpenhorn.workers.import_files import import_files
from alpenhorn.workers.pull import pull

DONE = {"copy": Verdict.PULLED, "link": Verdict.PULLED, "import": Verdict.HASHED, "check": Verdict.GOOD}
KEPT = Transfer(verify_links=False)

class Report:
    def stopping(self): return False
    def begin(self, path): pass
    def fail(self): pass
    def progress(self, files, bytes): pass

def node(id, name):
    root = os.path.join(base, name)
    return DefaultNode(NodeFact(id, name, root, id, "host", None, None, True, False, None, None, None, 0.0, None), {})

def pulled(kind, method, number, transfer=Transfer()):
    target = node(2, f"{kind}-{number}")
    job = PullJob(source.node, target.node, method, wanted[:number])
    return pull(job, target, "stage", transfer, Report(), source)

def imported(number, *more):
    return import_files(ImportJob(source.node, 1, 1.0, found[:number], *more), source, Report())

def checked(number, *more):
    return check(CheckJob(source.node, copies[:number], *more), source, Report())

base, files, few = json.load(sys.stdin)
source = node(1, "source")
wanted = [PullFile(number, number, *file) for number, file in enumerate(files)]
found = [ImportFile(path, *path.split("/", 1)) for path, _, _ in files]
copies = [CheckFile(number, number, *file) for number, file in enumerate(files)]
jobs = {
    "copy": lambda number: pulled("copy", Method.COPY, number),
    "link": lambda number: pulled("link", Method.LINK, number),
    "link kept": lambda number: pulled("link kept", Method.LINK, number, KEPT),
    "import": imported,
    "import kept": lambda number: imported(number, False, True),
    "check": checked,
    "check kept": lambda number: checked(number, True),
}
for kind, job in jobs.items():
    for number in (1, few, len(files)):  # the first one imports modules
        os.path.lexists(f"/begin {kind} {number}")
        results = job(number)
        os.path.lexists(f"/end {kind} {number}")
        verdicts = {result.verdict for result in results}
        assert len(results) == number and verdicts == {DONE[kind.partition(" ")[0]]}, results[0]
"""


def test_a_small_file_takes_few_system_calls(tmp_path: Path) -> None:
    targets = (f"{kind}-{number}" for kind in ("copy", "link", "link kept") for number in (1, FEW, MANY))
    for name in ("source", *targets):
        (tmp_path / name).mkdir()
        (tmp_path / name / MARKER).write_text(f"{name}\n")
    data = b"x" * 10_000
    files = []
    for number in range(MANY):
        path = f"acq{number * 2 // MANY}/f{number}"
        (tmp_path / "source" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "source" / path).write_bytes(data)
        os.utime(tmp_path / "source" / path, (10**9, 10**9))  # settled, so that it is imported
        files.append((path, len(data), hashlib.md5(data).hexdigest()))
    log = tmp_path / "log"
    done = subprocess.run(
        ["strace", "-f", "-o", str(log), sys.executable, "-c", SCRIPT],
        input=json.dumps([str(tmp_path), files, FEW]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    calls = _calls(log)
    for kind, most in MOST.items():
        each = (calls[kind, MANY] - calls[kind, FEW]) / (MANY - FEW)
        assert each <= most + 0.5, f"{kind}: {each} system calls for each file"


def _calls(log: Path) -> dict[tuple[str, int], int]:
    """Return the number of system calls of each job."""
    counts: dict[tuple[str, int], int] = {}
    now = None
    for line in log.read_text(errors="replace").splitlines():
        if mark := re.search(r'"/(begin|end) ([\w ]+) (\d+)"', line):
            now = (mark[2], int(mark[3])) if mark[1] == "begin" else None
        elif now is not None:
            counts[now] = counts.get(now, 0) + 1
    return counts
