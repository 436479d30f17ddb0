"""Names and messages that would move a terminal's cursor, forge a line or turn the direction of reading."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from alpenhorn import logs
from alpenhorn.cli import output
from alpenhorn.cli.main import main
from alpenhorn.outside import harmless, text
from tests.cli.filled import fill
from tests.cli.test_main import leaves
from tests.fixtures.archive import Archive

# ESC, the one-byte CSI, a bell, a return, a line end, DEL, a line separator, an override and an isolate of direction.
EVIL = "\x1b[31m\x9b2J\x07\r\n\x7f\u2028\u202e\u2066"
HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}

NAMED = {
    "storagehost": ("name", "username", "address", "notes"),
    "storagegroup": ("name", "io_class", "notes"),
    "storagenode": ("name", "notes"),
    "archiveacq": ("name", "comment"),
    "archivefile": ("name",),
    "archivefileimportrequest": ("path",),
    "sync_run": ("host", "nodes"),
    "sync_attempt": ("blame", "error"),
    "sync_event": ("what", "why"),
    "sync_pin": ("reason",),
}

# What is not run: it shows no name, or waits for more than a name.
LEFT_OUT = {
    "crontab",
    "db backup",
    "db dump",
    "db init",
    "db rebuild",
    "db upgrade",
    "file create",
    "plugins",
}
WITHOUT = [
    "acq list", "db check", "doctor", "doctor --json", "file find", "file list", "file list --details --node SRC",
    "file list --json", "group list", "group list --json", "history", "history --json", "history --node SRC",
    "host list", "host list --json", "node list", "node list --json", "node stats", "node stats --json", "plan",
    "plan --files", "plan --files --json", "reconcile --dry-run", "policy check",
    "policy list", "policy list --json", "repair --check", "request list",
    "request list --state failing", "request list --json", "rules check", "rules check --json", "status",
    "status --json", "sync", "-v sync", "-vv sync --node FAR", "history --run 1", "history --file FILE",
    "acq list --format csv", "file find --format csv", "file list --format csv", "host list --format csv",
    "node list --format csv", "request list --format csv", "status --format csv", "plan --format csv",
    "acq list --format jsonl", "file list --format jsonl", "status --format jsonl", "plan --files --format jsonl",
    "report", "status --wide", "status --by host", "status --by group --json", "status --check",
]  # fmt: skip
NAMING = [
    "acq files ACQ", "acq show ACQ --show-groups --show-nodes", "acq show ACQ --json", "file show FILE --all",
    "file show FILE --json", "file state FILE SRC", "group show GROUP --all", "group show GROUP --json",
    "host show HOST --node-details --node-stats", "host show HOST --json", "node show SRC --all",
    "node show SRC --all --json", "request show 1", "request show 2", "request show 2 --json", "request show 3",
    "request retry 3", "request prioritise 3 5",
    "file pin FILE --reason EVIL", "file unpin FILE", "file verify FILE SRC", "node activate SRC",
    "node deactivate FAR", "node sync SRC GROUP --check", "node clean SRC --check", "node scan SRC EVIL",
    "node verify SRC --check", "group sync GROUP SRC --check", "group autosync GROUP SRC",
    "node autoclean SRC GROUP", "node risk SRC", "node risk SRC --list", "node risk SRC --list --json",
]  # fmt: skip


def raw(said: str) -> list[str]:
    """What must not be there, with what stands before it."""
    return [
        said[max(0, at - 60) : at + 1]
        for at, char in enumerate(said)
        if char != "\n" and unicodedata.category(char) in HARMFUL
    ]


def safe(said: str) -> bool:
    return not raw(said)


@pytest.fixture
def archive(sqlite_archive: Archive) -> Iterator[Archive]:
    """An archive of which every name and message is hostile."""
    fill(sqlite_archive)
    for table, columns in NAMED.items():
        for column in columns:
            sqlite_archive.do(f"UPDATE {table} SET {column} = {column} || ? WHERE {column} <> 'here'", EVIL)
    yield sqlite_archive


def run(archive: Archive, words: list[str]) -> tuple[int, str, str]:
    conf = archive.configure()
    with CliRunner().isolation() as (out, err, _):
        status = main(["-c", str(conf), *words])
        return status, out.getvalue().decode(), err.getvalue().decode()


def test_situation_24_no_command_prints_or_logs_a_name_as_it_is(archive: Archive) -> None:
    meant = {
        "SRC": f"src{EVIL}",
        "FAR": f"far{EVIL}",
        "GROUP": f"dst{EVIL}",
        "HOST": f"there{EVIL}",
        "ACQ": f"acq{EVIL}",
        "FILE": f"acq{EVIL}/good{EVIL}",
        "EVIL": EVIL,
    }
    shown = ""
    for line in WITHOUT + NAMING:
        words = [meant.get(word, word) for word in line.split()]
        status, out, err = run(archive, words)
        assert not raw(out) and not raw(err), (line, raw(out), raw(err))
        assert status in (0, 1, 4) or "EVIL" in line, (line, status, err)
        assert "Traceback" not in err, (line, err)
        if "--json" in words:
            json.loads(out)
        shown += out
    assert "\\x1b[31m" in shown and "\\u202e" in shown
    assert safe((archive.base / "here.log").read_text())


def test_situation_24_what_is_typed_is_not_repeated_as_it_is(archive: Archive) -> None:
    """By every command that there is."""
    for name in leaves():
        for more in ([f"--{EVIL}"], [EVIL, EVIL, EVIL], ["--json", EVIL]):
            if name in LEFT_OUT and more[0] != f"--{EVIL}":
                continue
            status, out, err = run(archive, [*name.split(), *more])
            assert not raw(out + err), (name, more, raw(out + err))
            assert status in (0, 1, 2), (name, more, err)


def test_situation_24_a_log_on_standard_error_is_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    logs.configure("debug", str(tmp_path / "log"), stderr_level="debug")
    try:
        logging.getLogger("alpenhorn.test").warning("%s and \udce9", EVIL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            logging.getLogger("alpenhorn.test").exception("failed")
    finally:
        logs.configure()
    assert safe(capsys.readouterr().err) and safe((tmp_path / "log").read_text())
    assert len((tmp_path / "log").read_text().splitlines()) == 2


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters()))
def test_whatever_is_shown_or_stored_is_harmless(said: str) -> None:
    assert safe(harmless(said)) and "\n" not in harmless(said)
    document = output.as_json({"name": said})
    assert safe(document) and json.loads(document) == {"name": said}
    stored = text(said, 20)
    assert len(stored) <= 20 and "\0" not in stored
    stored.encode()
