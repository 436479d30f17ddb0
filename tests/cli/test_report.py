"""`alpenhorn report`, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive, Result
from tests.fixtures.terminal import on_screen

WITHOUT = "raise ImportError(\"No module named '{name}'\")\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables by which all commands share a list of fonts, which takes seconds to make."""
    return {"MPLCONFIGDIR": str(tmp_path_factory.mktemp("matplotlib")), "PYTHONDONTWRITEBYTECODE": "1"}


def report(archive: Archive, *arguments: str, **options: object) -> Result:
    return archive.run("report", *arguments, **options)  # type: ignore[arg-type]


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if path.name in one.name)


def test_the_report_is_one_file_which_is_replaced_when_it_is_complete(
    sqlite_archive: Archive, cache: dict[str, str]
) -> None:
    archive = sqlite_archive
    archive.node("vault", archive=1)
    archive.file("acq/one", b"1", "vault")
    path = archive.base / "report.html"
    result = report(archive, "--output", str(path), environ=cache)
    assert result.status == 0 and result.err == "", result
    assert result.out.startswith(f"{path}: written, ")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.endswith("</html>") and "vault" in text
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()

    path.write_text("before")
    path.chmod(0o640)
    prefix = ["strace", "-f", "-qq", "-o", str(archive.base / "strace.said")]
    prefix += ["-e", "inject=rename,renameat,renameat2:signal=KILL"]
    killed = archive.start("report", "--output", str(path), environ=cache, prefix=prefix).result()
    assert killed.status != 0 and "SIGKILL" in (archive.base / "strace.said").read_text()
    assert path.read_text() == "before"
    left = beside(path)

    link = archive.base / "link.html"
    link.symlink_to(path)
    result = report(archive, "--output", str(link), environ=cache)
    assert result.status == 0 and link.is_symlink()
    assert path.read_text(encoding="utf-8").endswith("</html>") and path.stat().st_mode & 0o777 == 0o640
    assert beside(path) == left, "nothing but what the killed one has left"
    assert archive.run("-q", "report", "--output", str(path), environ=cache) == (0, "", "")


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_without_a_file_the_report_is_printed_but_not_on_a_terminal(
    sqlite_archive: Archive, cache: dict[str, str]
) -> None:
    for arguments in ((), ("--output", "-")):
        result = report(sqlite_archive, *arguments, environ=cache)
        assert result.status == 0 and result.err == "" and result.out.startswith("<!DOCTYPE html>"), result
        with on_screen("-c", str(sqlite_archive.configure()), "report", *arguments, columns=120) as shown:
            assert shown.end() == 2
            assert any("alpenhorn report --output report.html" in line for line in shown.lines), shown.lines


def test_a_file_that_cannot_be_written_is_one_message(sqlite_archive: Archive, cache: dict[str, str]) -> None:
    base = sqlite_archive.base
    closed = base / "closed"
    closed.mkdir(mode=0o500)
    for path, why in (
        (base, "it is a directory"),
        (base / "none" / "report.html", f"there is no directory {base}/none"),
        (Path("/dev/full"), "No space left on device"),
        (closed / "report.html", f"{closed} is not writable"),
    ):
        # Root is bound by permissions without these capabilities only.
        bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        bound.append("--inh-caps=-dac_override,-dac_read_search")
        prefix = bound if os.geteuid() == 0 else []
        result = sqlite_archive.start("report", "--output", str(path), environ=cache, prefix=prefix).result()
        assert (result.status, result.out) == (1, ""), result
        assert result.err == f"Error: the report cannot be written: {path}: {why}\n"
    assert not list(closed.iterdir())
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["jinja2", "matplotlib"])
def test_without_a_package_the_command_says_what_to_install(name: str, sqlite_archive: Archive) -> None:
    modules = sqlite_archive.base / "modules"
    modules.mkdir()
    (modules / f"{name}.py").write_text(WITHOUT.format(name=name))
    result = report(
        sqlite_archive,
        "--output",
        str(sqlite_archive.base / "report.html"),
        environ={"PYTHONPATH": str(modules)},
    )
    assert result.status == 1 and result.out == ""
    (line,) = result.err.splitlines()
    assert name in line and "pip install 'alpenhorn[report]'" in line
    assert not (sqlite_archive.base / "report.html").exists()


def test_without_an_index_the_command_fails(sqlite_archive: Archive) -> None:
    sqlite_archive.configure(database={"url": f"sqlite:///{sqlite_archive.base / 'none.db'}"})
    result = report(sqlite_archive, "--output", str(sqlite_archive.base / "report.html"))
    assert result.status == 3 and result.out == "" and "none.db" in result.err
    assert not (sqlite_archive.base / "report.html").exists()


def test_only_the_command_imports_what_it_needs() -> None:
    code = "import sys; from alpenhorn.cli import report, status, metrics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "jinja2", "numpy"} & set(done.stdout.split())
