"""Contents of a wheel and a source distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from alpenhorn import __version__
from alpenhorn.packaging import backend
from alpenhorn.packaging.manpages import pages

CHECKOUT = Path(__file__).parents[2]
INSTALLED = f"alpenhorn-{__version__}.data/data/share/man/man1"

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, because a build leaves files beside them; with a man page of a former command."""
    source = tmp_path_factory.mktemp("packaging") / "source"
    shutil.copytree(
        CHECKOUT / "alpenhorn", source / "alpenhorn", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    stale = source / "build" / "man" / "alpenhorn-former.1"
    stale.parent.mkdir(parents=True)
    stale.write_text(".TH")
    return source


def built(source: Path, kind: str) -> Path:
    """Build as a frontend does that has installed the requirements; return the archive."""
    directory = source.parent / kind
    directory.mkdir()
    code = f"from alpenhorn.packaging import backend; print(backend.build_{kind}({str(directory)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return directory / done.stdout.splitlines()[-1]


def test_a_source_distribution_holds_the_sources_only(source: Path) -> None:
    with tarfile.open(built(source, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "alpenhorn/py.typed", "alpenhorn/packaging/backend.py"} <= names
    assert {f"alpenhorn/docs/{path.name}" for path in (CHECKOUT / "alpenhorn" / "docs").iterdir()} <= names
    assert not [name for name in names if name.endswith(".1")]


def test_a_wheel_holds_a_man_page_for_each_command_the_manual_and_the_marker_of_types(source: Path) -> None:
    with ZipFile(built(source, "wheel")) as archive:
        names = set(archive.namelist())
        found = {name.removeprefix(f"{INSTALLED}/") for name in names if name.startswith(INSTALLED)}
        assert found == {f"{name}.1" for name, _ in pages()}
        assert archive.read(f"{INSTALLED}/alpenhorn-sync.1").startswith(b'.TH "ALPENHORN\\-SYNC"')
    manual = {f"alpenhorn/docs/{path.name}" for path in (CHECKOUT / "alpenhorn" / "docs").iterdir()}
    assert {"alpenhorn/py.typed", *manual} <= names


def test_a_build_requires_what_the_commands_import(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    setup = ConfigParser()
    setup.read("setup.cfg", encoding="utf-8")
    needed = set(setup["options"]["install_requires"].split())
    assert len(needed) > 4 and needed <= set(backend.get_requires_for_build_wheel())
