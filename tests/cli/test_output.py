from __future__ import annotations

import json
import os
import pty
import sys
from datetime import datetime

import pytest

from alpenhorn.cli import output

TABLE = """
from alpenhorn.cli.output import table
table(("Name", "Path", "Size"), [("a" * 10, "p" * 100, "10.00 kiB"), ("b", "q", "1 B")], right=("Size",))
"""


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 kiB"),
        (10240, "10.00 kiB"),
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
def test_what_could_touch_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert output.harmless(text) == shown


def width_on_a_terminal(columns: int) -> list[str]:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["COLUMNS"] = str(columns)
        os.execv(sys.executable, [sys.executable, "-c", TABLE])
    seen = b""
    try:
        while more := os.read(terminal, 1000):
            seen += more
    except OSError:
        pass  # the child has ended
    finally:
        os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0
    return seen.decode().splitlines()


def test_a_table_fits_the_terminal_and_numbers_stay_whole() -> None:
    for columns in (60, 80, 130):
        lines = width_on_a_terminal(columns)
        assert max(map(len, lines)) <= columns
        assert lines[2].endswith("10.00 kiB") and lines[3].endswith("      1 B")
        assert ("…" in lines[2]) == (columns < 130)


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
