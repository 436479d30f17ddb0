from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest

from alpenhorn.cli import output
from alpenhorn.cli.main import cli
from tests.cli.filled import fill
from tests.cli.test_main import walk
from tests.fixtures.archive import Archive

TABLE = """
from alpenhorn.cli.output import table
table(("Name", "Path", "Size"), [("a" * 10, "p" * 100, "10.00 KiB"), ("b", "q", "1 B")], right=("Size",))
"""


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10240, "10.00 KiB"),
        (2**20 - 1, "1.00 MiB"),
        (2**40, "1.00 TiB"),
        (2**80, f"{2**20:.2f} EiB"),
    ],
)
def test_sizes(bytes_: int | None, text: str) -> None:
    assert output.size(bytes_) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("\udcff", "\\udcff"),
        ("\u202e", "\\u202e"),
    ],
)
def test_control_characters_and_direction_marks_are_escaped(text: str, shown: str) -> None:
    assert output.harmless(text) == shown


def on_a_terminal(columns: int, *argv: str) -> str:
    """What a Python program prints on a terminal of that width."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["COLUMNS"] = str(columns)
        os.execv(sys.executable, [sys.executable, *argv])
    seen = b""
    try:
        while more := os.read(terminal, 1000):
            seen += more
    except OSError:
        pass  # the child has ended
    finally:
        os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0, seen
    return seen.decode().replace("\r\n", "\n")


def test_a_table_fits_the_terminal_and_texts_stay_whole() -> None:
    for columns in (60, 80, 130):
        lines = on_a_terminal(columns, "-c", TABLE).splitlines()
        assert max(map(len, lines)) <= columns
        assert lines[2].endswith("10.00 KiB") and lines[-1].endswith("      1 B")
        assert "".join(lines).count("p") == 100 and "…" not in "".join(lines)
        assert all(line.startswith(" " * 14 + "pp") for line in lines[3:-1])
        assert (len(lines) > 4) == (columns < 130)


def test_a_folded_text_is_indented_and_ends_behind_a_separator() -> None:
    assert output.fold("20260722T000000Z_pilot/0001.h5", 24) == ["20260722T000000Z_pilot/", "  0001.h5"]
    assert output.fold("two words, and then some more", 12) == ["two words, ", "  and then ", "  some more"]
    assert output.fold("a_separator" + "x" * 20, 20) == ["a_separator" + "x" * 9, "  " + "x" * 11]
    assert output.fold("e\u0301" * 10, 8) == ["e\u0301" * 8, "  " + "e\u0301" * 2]
    assert output.fold("観測所の格納庫", 9) == ["観測所の", "  格納庫"]


def test_wide_ignores_the_width_of_the_terminal() -> None:
    lines = on_a_terminal(40, "-c", TABLE.replace("right=", "wide=True, right=")).splitlines()
    assert [len(line) for line in lines] == [123] * 4 and "p" * 100 in lines[2]


def test_on_a_terminal_that_is_too_narrow_each_row_is_a_block() -> None:
    assert on_a_terminal(20, "-c", TABLE).splitlines() == [
        "Name: aaaaaaaaaa",
        f"Path: {'p' * 100}",
        "Size: 10.00 KiB",
        "",
        "Name: b",
        "Path: q",
        "Size: 1 B",
    ]


def test_on_a_narrow_terminal_optional_columns_are_left_out_before_names_become_very_narrow() -> None:
    program = TABLE.replace("right=", "optional=('Size',), right=")
    assert "Size" in on_a_terminal(45, "-c", program)
    lines = on_a_terminal(36, "-c", program).splitlines()
    assert lines[0].split() == ["Name", "Path"] and "".join(lines).count("p") == 100


def test_through_a_pipe_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("Path",), [("p" * 500,)])
    assert "p" * 500 in capsys.readouterr().out


def test_a_long_table_comes_in_pages(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("N",), ((number,) for number in range(output.PAGE + 1)), right=("N",))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.strip() == "N" for line in lines) == 2 and lines[-1].strip() == str(output.PAGE)


def test_streamed_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    for rows in ([], [{"at": datetime(2026, 7, 22, 1, 2, 3)}], [1, 2, 3]):
        output.documents(iter(rows))
        expected = [{"at": "2026-07-22T01:02:03Z"}] if rows and isinstance(rows[0], dict) else rows
        assert json.loads(capsys.readouterr().out) == expected


# --- wide characters ------------------------------------------------------------------------------------


def display_width(text: str) -> int:
    """Columns of a terminal, told by Unicode's own tables: Wide and Fullwidth take two, marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


SENTENCE = re.compile(r"\s*$|node \S+ is left out: |Nothing was done; ")  # what follows a table


def tables(text: str) -> Iterator[list[str]]:
    """The tables in an output, from the headers to the last row."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if re.fullmatch(r"-+(  -+)*", line):
            end = next((j for j in range(i, len(lines)) if SENTENCE.match(lines[j])), len(lines))
            yield lines[i - 1 : end]


def crooked(table: list[str]) -> list[str]:
    """The rows in which something stands between the columns that the line below the headers marks."""
    gaps = {at + i for at in (match.start() for match in re.finditer("  ", table[1])) for i in (0, 1)}
    wrong = []
    for row in table:
        at = 0
        for char in row:
            if at in gaps and char != " " and display_width(char):
                wrong.append(row)
                break
            at += display_width(char)
    return wrong


@pytest.mark.parametrize(
    "text", ["観測所", "cafe\u0301", "ｱｲｳ", "\uff26\uff35\uff2c\uff2c", "한국어", "naïve", "x" * 40, ""]
)
def test_a_wide_character_takes_two_columns_and_a_combining_one_none(text: str) -> None:
    assert output.columns(text) == display_width(text)


@pytest.mark.parametrize("columns", [26, 27, 28, 29, 40, 200])
def test_wide_characters_leave_a_table_straight(columns: int) -> None:
    rows = [
        ("観測所の格納庫の一番目", "1 B", "e\u0301" * 20),
        ("ascii", "10 KiB", "x"),
        ("混ab在", "-", "ｱｲ"),
    ]
    program = (
        f"from alpenhorn.cli.output import table; table(('Name', 'Size', 'Notes'), {rows!r}, right=('Size',))"
    )
    (table,) = tables(on_a_terminal(columns, "-c", program))
    assert crooked(table) == []
    assert max(map(display_width, table)) <= columns
    assert "".join(table).count("\u0301") == 20 and (len(table) > 5) == (columns < 50)


# --- every list -----------------------------------------------------------------------------------------

LONG = "とても長い名前-" + "long" * 30 + "-e\u0301-末尾"
MORE = ["file list --details", "history --node dst", "node stats --extra-stats", "repair --check"]
# A line for each finding, for each path, and for what was done.
NO_TABLES = {"db backup", "db check", "doctor", "file list"}
COMPLETE = [
    "file find",
    "file list",
    "file list --details",
    "group list",
    "history --node dst",
    "host list",
]
COMPLETE += ["node list", "plan", "repair --check", "request list"]
RUN_ALL = """
import sys
from alpenhorn.cli.main import main
for command in sys.argv[2:]:
    print(f"=== {command}", flush=True)
    main(["-c", sys.argv[1], *command.split()])
"""


def lists() -> list[str]:
    """The commands that show something and need no argument; but for those whose work shows in others."""
    found = []
    for name, command in walk(cli, ()):
        shows = any("--json" in parameter.opts for parameter in command.params)
        if (
            shows
            and not any(parameter.required for parameter in command.params)
            and name not in ("repair", "reconcile")
        ):
            found.append(name)
    return [*found, *MORE]


@pytest.fixture
def listed(sqlite_archive: Archive) -> Archive:
    """Things of every kind, with long and wide names."""
    fill(sqlite_archive)
    archive = sqlite_archive
    archive.host("観測所", address="127.0.0.1", notes=LONG)
    archive.node("観測所の格納庫", group="格納庫の組", host="観測所", notes=LONG)
    archive.do("UPDATE storagegroup SET notes = ? WHERE name = '格納庫の組'", LONG)
    file_id = archive.file(f"取得-e\u0301/{LONG}", b"x", "観測所の格納庫", "dst")
    archive.set_copy(file_id, "dst", "XY")
    archive.once_good(file_id, "dst")
    archive.request(file_id, "観測所の格納庫", "src")
    archive.insert(
        "sync_event", at="2026-07-22 10:00:00", file_id=file_id, node_id=2, what="pulled", why="so"
    )
    return archive


def outputs(text: str) -> dict[str, str]:
    parts = re.split(r"^=== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_every_list_fits_a_terminal(listed: Archive, columns: int) -> None:
    said = outputs(on_a_terminal(columns, "-c", RUN_ALL, str(listed.configure()), *lists()))
    assert list(said) == lists()
    for command, text in said.items():
        for table in tables(text):
            assert crooked(table) == [], command
            assert max(map(display_width, table)) <= columns, command
            assert "…" not in "".join(table), command
    for command in COMPLETE:
        assert not Counter(LONG) - Counter(said[command]), command
    if columns == 200:
        # Where there is room each of them is a table; those that are no tables at all are known.
        assert {command for command, text in said.items() if not list(tables(text))} == NO_TABLES


def test_through_a_pipe_every_list_is_plain_and_complete(listed: Archive) -> None:
    argv = [sys.executable, "-c", RUN_ALL, str(listed.configure()), *lists()]
    environ = os.environ | {"COLUMNS": "40", "TERM": "xterm-256color"}
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, env=environ, check=True)
    said = outputs(done.stdout)
    assert list(said) == lists()
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    for command, text in said.items():
        for table in tables(text):
            assert crooked(table) == [] and "…" not in "".join(table), command
    for command in COMPLETE:
        assert LONG in said[command], command
