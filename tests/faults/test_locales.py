"""Hosts whose locale is not UTF-8: names are bytes on disk and UTF-8 in the index, whatever the locale."""

import itertools
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

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


# --- the environment -----------------------------------------------------------------------------------

GARBAGE = st.binary(max_size=40).map(lambda value: os.fsdecode(value.replace(b"\0", b"")))
PATHS = GARBAGE.map(lambda value: f"/no/such{value}")
VALUES = {
    "LC_ALL LC_CTYPE LC_MESSAGES LC_NUMERIC LC_TIME LANG LANGUAGE": (
        "C",
        "POSIX",
        "no_SUCH",
        "de_DE.UTF-8",
        "tr_TR.UTF-8",
        "\udcff",
    ),
    "COLUMNS LINES": ("garbage", "-5", "0", "1", "999999999999999999999", "1e9"),
    "NO_COLOR FORCE_COLOR CLICOLOR_FORCE TTY_COMPATIBLE TTY_INTERACTIVE": ("", "0", "1", "\udcff"),
    "TERM COLORTERM": ("", "dumb", "no-such-terminal", "truecolor"),
    "PAGER MANPAGER LESS EDITOR": ("", "/no/such/program", "false", "'"),
    "TZ": ("No/Such\udcff", ":/etc/passwd", "XYZ-99:99:99", "../../etc"),
    "HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_CONFIG_DIRS TMPDIR": ("", ".", "/", "/dev/null"),
    "SSH_AUTH_SOCK SSH_ASKPASS SSH_CONNECTION SSH_TTY SSH_CLIENT": ("", "/dev/null", "\udcff"),
    "ALPENHORN_EXTRA ALPENHORN ALPENHORN_COMPLETE_ COMP_WORDS COMP_CWORD": ("", "x", "\udcff\x1b"),
    # With other values of some of these, and of PYTHONHOME, PYTHONMALLOC and the like, Python itself does not start.
    "PYTHONUTF8 PYTHONCOERCECLOCALE": ("0", "1"),
    "PYTHONIOENCODING": ("ascii", "ascii:strict", "utf-8:ignore", ":replace"),
    "PYTHONPATH PYTHONSTARTUP PYTHONBREAKPOINT": ("", ".", "/dev/null", "/no/such"),
    "PYTHONOPTIMIZE PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONINSPECT PYTHONNOUSERSITE": ("", "1", "2"),
}
FREE = ("LC_", "LANG", "TZ", "PAGER", "SSH_", "ALPENHORN", "XDG_", "HOME", "NO_COLOR", "COLUMNS", "TERM")


def values(name: str, known: tuple[str, ...]) -> st.SearchStrategy[str]:
    found = st.sampled_from(known)
    return found | GARBAGE | PATHS if name.startswith(FREE) else found


ENVIRONMENTS = st.fixed_dictionaries(
    {},
    optional={name: values(name, known) for names, known in VALUES.items() for name in names.split()},
)
DEFAULTS = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # each example starts two processes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_an_environment_of_garbage_stops_nothing(sqlite_archive: Archive, long: bool):
    sqlite_archive.node("field")
    sqlite_archive.node("safe", archive=1)
    numbers = itertools.count()

    @settings(DEFAULTS, max_examples=60 if long else 6)
    @given(ENVIRONMENTS)
    @example({"COLUMNS": "garbage", "LINES": "-5", "TERM": "no-such-terminal", "PAGER": "/no/such/program"})
    @example({"TZ": "No/Such\udcff", "LC_ALL": "no_SUCH", "HOME": "/no/such\udcff", "NO_COLOR": "\udcff"})
    @example({"ALPENHORN_EXTRA": "\udcff\x1b", "XDG_CONFIG_HOME": "/no\udcff", "PYTHONINSPECT": "1"})
    def works(environ: dict[str, str]) -> None:
        path = f"acq/{next(numbers)}-{NAME}"
        request = sqlite_archive.request(sqlite_archive.file(path, b"bytes", "field"), "field", "safe")
        result = sqlite_archive.sync(environ=environ)
        assert result.status == 0 and result.silent, result
        assert sqlite_archive.state(request) == "done" and sqlite_archive.violations() == []
        listed = sqlite_archive.run("file", "list", environ=environ)
        assert listed.status == 0 and f"acq/{path.split('/')[1].split('-')[0]}-caf" in listed.out, listed

    works()


@pytest.mark.parametrize("variable", ["ALPENHORN_CONFIG_FILE", "ALPENHORN_DATABASE_URL"])
def test_garbage_in_a_variable_of_alpenhorn_is_refused_and_changes_nothing(
    sqlite_archive: Archive, long: bool, variable: str
):
    sqlite_archive.node("field")
    sqlite_archive.node("safe", archive=1)
    request = sqlite_archive.request(sqlite_archive.file("acq/f", b"bytes", "field"), "field", "safe")

    @settings(DEFAULTS, max_examples=50 if long else 3)
    @given(GARBAGE.filter(bool) | PATHS)
    @example("\udcff\x1b")
    @example("/dev/null/x")
    def refused(value: str) -> None:
        result = sqlite_archive.sync(environ={variable: value})
        assert result.status == 3 and result.err.startswith("Error: ") and not result.out, result
        assert "\x1b" not in result.err
        assert sqlite_archive.state(request) == "pending"

    refused()
