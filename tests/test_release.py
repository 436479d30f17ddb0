"""bin/release builds and tries both archives, and refuses a checkout that is not ready for a release."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from alpenhorn import __version__
from tests.fixtures.repository import commit, environment, repository

FILES = (
    *("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", ".gitignore"),
    *("bin/release", "bin/lib.sh", "alpenhorn", ".changes/README.md"),
)
DATED = f"## {__version__} (2030-01-01)"

pytestmark = pytest.mark.ci


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that can be released: its version has a dated section, and no fragments are left."""
    checkout = repository(tmp_path / "checkout", *FILES)
    changes = checkout / "CHANGELOG.md"
    changes.write_text(
        re.sub(rf"^## {__version__} .*$", DATED, changes.read_text("utf-8"), flags=re.M), "utf-8"
    )
    commit(checkout)
    return checkout


def release(checkout: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{environment(checkout)['PATH']}"
    # What pip has fetched for the other tests and environments is not fetched again.
    set_for_test = {"PATH": path, "PYTHON": "", "HOME": str(Path.home())}
    return subprocess.run(
        [str(checkout / "bin" / "release")],
        env={**environment(checkout), **set_for_test},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)  # it makes four environments
def test_both_archives_are_built_and_tried(checkout: Path) -> None:
    done = release(checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel, sdist = (f"alpenhorn-{__version__}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    assert {path.name for path in (checkout / "dist").iterdir()} == {wheel, sdist}
    assert f"trying dist/{wheel}" in done.stdout and f"trying dist/{sdist}" in done.stdout
    assert done.stdout.count("PASSED") == 2, "twine"
    assert len(re.findall(r"^vault .* here ", done.stdout, re.MULTILINE)) == 2, "alpenhorn status"
    with ZipFile(checkout / "dist" / wheel) as archive:
        assert f"alpenhorn-{__version__}.data/data/share/man/man1/alpenhorn-sync.1" in archive.namelist()
    with tarfile.open(checkout / "dist" / sdist) as archive:
        assert f"alpenhorn-{__version__}/alpenhorn/packaging/backend.py" in archive.getnames()
    assert not (checkout / ".venv").exists(), "the active environment has the extra release"


@pytest.mark.parametrize(
    ("name", "before", "after", "committed", "complaint"),
    [
        ("README.md", "", "x", False, "the checkout has changes"),
        ("new.py", "", "x", False, "the checkout has changes"),
        (
            "CHANGELOG.md",
            DATED,
            f"## {__version__} (unreleased)",
            True,
            f"no section '## {__version__} (YYYY-MM-DD)'",
        ),
        ("CHANGELOG.md", DATED, "## 0.0 (2030-01-01)", True, f"no section '## {__version__} (YYYY-MM-DD)'"),
        ("CHANGELOG.md", DATED, f"## 9 (unreleased)\n\n{DATED}", True, "is marked as unreleased"),
        (".changes/7.fixed.md", "", "x", True, "fragments are left"),
        (
            "CITATION.cff",
            f"version: {__version__}\n",
            "version: 0.0\n",
            True,
            f"CITATION.cff: not version {__version__}",
        ),
    ],
)
def test_an_invalid_release_is_refused(
    checkout: Path, name: str, before: str, after: str, committed: bool, complaint: str
) -> None:
    path = checkout / name
    text = path.read_text("utf-8") if path.exists() else ""
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    if committed:
        commit(checkout)
    done = release(checkout)
    assert done.returncode == 1 and done.stdout == "" and complaint in done.stderr, done.stderr
    assert not (checkout / "dist").exists()
