"""A Default node in a directory, and a report that counts progress."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alpenhorn.extensions.registry import node_io
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER, NodeFact
from tests.plan.facts import node as node_fact

NOBODY = 65534


def make(root: Path, name: str = "disk", **columns: object) -> DirectoryNode:
    """Create a node whose root exists and has a marker."""
    root.mkdir(exist_ok=True)
    (root / MARKER).write_text(f"{name}\n")
    made = node_io(fact(root, name, **columns))
    assert isinstance(made, DirectoryNode)
    return made


def fact(root: Path, name: str = "disk", **columns: object) -> NodeFact:
    return node_fact(2, name=name, root=str(root), **columns)


def put(root: Path, path: str, content: bytes = b"content") -> str:
    """Write a file and return its MD5."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)
    return hashlib.md5(content).hexdigest()


class Report:
    """A worker's report that requests a stop after `most` blocks; `on_bytes` is called for each block."""

    def __init__(self, most: int | None = None, on_bytes: Callable[[], object] | None = None) -> None:
        self.files = 0
        self.bytes = 0
        self.blocks = 0
        self.most = most
        self.on_bytes = on_bytes

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        self.files += files
        self.bytes += bytes
        if bytes:
            self.blocks += 1
            if self.on_bytes is not None:
                self.on_bytes()

    def stopping(self) -> bool:
        return self.most is not None and self.blocks >= self.most


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as the user nobody, because root can read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory accessible to the user nobody, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="public") as directory:
        os.chmod(directory, 0o777)
        root = Path(directory) / "root"
        root.mkdir(0o777)
        yield root
        shutil.rmtree(root)
