"""Hosts whose locale is not UTF-8: names are bytes on disk and UTF-8 in the index, whatever the locale."""

import os
import subprocess
import sys

import pytest

from tests.fixtures.archive import Archive

NAME = "café-Ω-\U0001f600"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="session")
def latin1(tmp_path_factory) -> dict[str, str]:
    """The environment of a real locale in ISO-8859-1."""
    directory = tmp_path_factory.mktemp("locales")
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(directory / "en_US.ISO-8859-1")],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.fail(f"the tests need the package locales (bin/test installs it as root):\n{made.stderr}")
    environ = {"LOCPATH": str(directory), "LC_ALL": "en_US.ISO-8859-1"}
    told = "import sys; print(sys.getfilesystemencoding())"
    found = subprocess.run(
        [sys.executable, "-c", told], env=environ, capture_output=True, text=True, check=True
    )
    assert found.stdout == "iso8859-1\n"
    return environ


@pytest.fixture(params=["latin1", "ascii"])
def locale(request) -> dict[str, str]:
    return ASCII if request.param == "ascii" else request.getfixturevalue("latin1")


def test_situation_05_a_file_keeps_its_name_whatever_the_locale(archive: Archive, locale):
    """It is imported, pulled, checked and found under the same name."""
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1)
    path = f"acq/{NAME}"
    at = archive.put("field", path, b"bytes")
    os.utime(at, (0, 0))
    archive.synced(environ=locale)
    assert archive.all("SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id") == [
        ("acq", NAME)
    ]
    file_id = archive.one("SELECT id FROM archivefile")
    request = archive.request(file_id, "field", "safe")
    archive.synced(environ=locale)
    assert archive.state(request) == "done" and archive.tree("safe") == {path: b"bytes"}
    for node in ("field", "safe"):
        archive.set_copy(file_id, node, "MY")
    archive.synced(environ=locale)
    assert [archive.copy(file_id, node) for node in ("field", "safe")] == ["YY", "YY"]
    # And on a host of the same archive whose locale is another one nothing is new or missing.
    archive.synced()
    assert archive.one("SELECT COUNT(*) FROM archivefile") == 1
    assert archive.violations() == []
    shown = archive.run("file", "show", path, environ=locale)
    assert shown.status == 0 and path in shown.out


def test_situation_05_a_terminal_gets_what_its_locale_can_show(sqlite_archive: Archive, latin1):
    archive = sqlite_archive
    archive.node("field")
    archive.file(f"acq/{NAME}", b"bytes", "field")
    command = [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), "file", "list"]
    shown = subprocess.run(
        ["script", "-q", "-e", "-c", " ".join(command), "/dev/null"],
        env={key: value for key, value in os.environ.items() if key != "PYTHONIOENCODING"}  # which tox sets
        | latin1
        | {"COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert "café-\\u03a9-\\U0001f600".encode("iso-8859-1") in shown.stdout


@pytest.mark.parametrize(
    "environ",
    [
        {"COLUMNS": "garbage", "LINES": "-5", "TERM": "no-such-terminal"},
        {"COLUMNS": "-7", "NO_COLOR": "\udcff", "LANG": "\udcff"},
        {"TZ": "No/Such\udcff", "LC_ALL": "no_SUCH", "HOME": "/no/such\udcff"},
        {"ALPENHORN_EXTRA": "\udcff\x1b"},
    ],
)
def test_an_environment_of_garbage_stops_nothing(sqlite_archive: Archive, environ):
    sqlite_archive.node("field")
    sqlite_archive.node("safe", archive=1)
    request = sqlite_archive.request(sqlite_archive.file("acq/f", b"bytes", "field"), "field", "safe")
    result = sqlite_archive.sync(environ=environ)
    assert result.status == 0, result
    assert sqlite_archive.state(request) == "done"
    assert sqlite_archive.run("file", "list", environ=environ).status == 0
