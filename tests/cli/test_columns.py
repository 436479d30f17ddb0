"""Listings as tables, CSV, JSON and lines of JSON, of every command that prints one."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from alpenhorn.cli import columns, output
from alpenhorn.cli.columns import Format, ListOptions, column, flag, number, size, time
from alpenhorn.cli.main import cli, main
from tests.cli.conftest import Archive as Commands
from tests.cli.test_json import ARGUMENTS, backups, part, said
from tests.cli.test_main import walk
from tests.fixtures.archive import Archive

# The key of a document under which its rows are, where it is not the rows alone.
ROWS = {
    "history --run": ["events"],
    "node risk": ["amounts"],
    "plan": ["lines"],
    "repair": ["requests", "left"],
    "rules check": ["owed"],
    "status": ["nodes"],
}
# Their texts contain times and free space, which are measured anew.
MEASURED = ("db check", "doctor")


def with_format() -> set[str]:
    return {
        name
        for name, command in walk(cli, ())
        if any("--format" in parameter.opts for parameter in command.params)
    }


def printed(archive: Archive, command: str, arguments: str, *more: str) -> str:
    """What a command prints on standard output."""
    name, _, option = command.partition(" --")
    words = [*name.split(), *([f"--{option}"] if option else []), *arguments.split(), *more]
    if name == "plugins":  # packages are found by a process that is started where they are
        argv = [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), *words]
        return subprocess.run(argv, capture_output=True, text=True).stdout
    with CliRunner().isolation() as (out, err, _):
        status = main(["-c", str(archive.configure(database=backups(archive))), *words])
        assert status in (0, 1), (words, err.getvalue())
        return out.getvalue().decode()


def flat(document: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """The values of an object by their keys as CSV has them; objects that CSV has as a whole stay whole."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in known or not isinstance(value, dict):
            found[key] = value
        else:
            found |= {f"{key}.{inner}": one for inner, one in value.items()}
    return found


def listed(archive: Archive) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Each listing, as (command, arguments, rows of its JSON)."""
    for command, variants in ARGUMENTS.items():
        if command.partition(" --")[0] not in with_format():
            continue
        for arguments in variants:
            if "--force" in arguments:  # the second time there would be nothing to do
                continue
            document = json.loads(said(archive, command, arguments))
            yield (
                command,
                arguments,
                [row for key in ROWS[command] for row in document[key]] if command in ROWS else document,
            )


def test_csv_has_the_keys_and_values_of_the_json_of_every_listing(filled: Archive) -> None:
    tested: set[str] = set()
    for command, arguments, rows in listed(filled):
        text = printed(filled, command, arguments, "--format", "csv")
        header, *lines = csv.reader(io.StringIO(text))
        expected = [flat(row, header) for row in rows]
        if len(ROWS.get(command, ())) > 1:  # an element of one list lacks some keys of the other
            assert {key for row in expected for key in row} == set(header)
            expected = [{key: row.get(key) for key in header} for row in expected]
        assert all(list(row) == header for row in expected), (command, header)
        fields = [[output.csv_field(value) for value in row.values()] for row in expected]
        if command in MEASURED:
            lines, fields = (
                [[re.sub(r"[\d.]+( \w+)?", "#", field) for field in row] for row in some]
                for some in (lines, fields)
            )
        assert lines == fields, command
        if lines:
            tested.add(command.partition(" --")[0])
    assert tested == with_format()


def test_lines_of_json_are_the_elements_of_the_json_of_every_listing(filled: Archive) -> None:
    tested: set[str] = set()
    for command, arguments, rows in listed(filled):
        lines = [
            json.loads(line) for line in printed(filled, command, arguments, "--format", "jsonl").splitlines()
        ]
        if len(ROWS.get(command, ())) > 1:  # an element of one list has the keys of the other, too
            rows = [{key: row.get(key) for key in line} for row, line in zip(rows, lines, strict=True)]
        if command in MEASURED:
            lines, rows = (
                [re.sub(r"[\d.]+( \w+)?", "#", json.dumps(row)) for row in some] for some in (lines, rows)
            )
        assert lines == rows, command
        if lines:
            tested.add(command.partition(" --")[0])
    assert tested == with_format()


def test_format_json_is_json(filled: Archive) -> None:
    for command in ("node list", "status", "plan --files"):
        assert printed(filled, command, "", "--format", "json") == printed(filled, command, "", "--json")


def test_two_formats_are_refused(empty: Commands) -> None:
    assert "--json cannot be used with --format csv" in empty.fails(
        2, "node", "list", "--json", "--format", "csv"
    )
    assert "--json cannot be used with --format jsonl" in empty.fails(
        2, "node", "list", "--json", "--format", "jsonl"
    )
    assert empty.ok("node", "list", "--json", "--format", "json") == "[]\n"
    assert "--prune cannot be used with --format csv" in empty.fails(
        2, "history", "--prune", "1d", "--format", "csv"
    )


@pytest.mark.parametrize("command", ["repair", "rules check --apply"])
def test_format_for_programs_is_refused_where_confirmation_would_be_needed(
    empty: Commands, command: str
) -> None:
    for option, form in (("--json", "json"), ("--format=csv", "csv"), ("--format=jsonl", "jsonl")):
        said = empty.fails(2, *command.split(), option)
        assert f"--format {form} cannot ask for confirmation; use it with --" in said
    assert empty("repair", "--check", "--format", "csv").out.startswith("node,source,files,size_b,why,code,")


def test_an_empty_listing_has_its_keys_in_csv(empty: Commands) -> None:
    assert empty.ok("host", "list", "--format", "csv") == "name,address,username,site,node_count,notes\n"


def test_an_empty_listing_has_no_lines_of_json(empty: Commands) -> None:
    assert empty.ok("host", "list", "--format", "jsonl") == ""


def table_headers(text: str) -> Iterator[str]:
    """The headers of all tables in a text."""
    lines = text.splitlines()
    for above, line in pairwise(lines):
        if re.fullmatch(r"-+(  -+)*", line):
            ends = [(found.start(), found.end()) for found in re.finditer("-+", line)]
            yield from (above[start:end].strip() for start, end in ends)


def test_table_headers_are_in_sentence_case(filled: Archive) -> None:
    part(filled)
    seen: set[str] = set()
    for command, variants in ARGUMENTS.items():
        if command not in ("db backup", "plugins", "repair"):
            for arguments in variants:
                seen.update(table_headers(printed(filled, command, arguments)))
    seen.update(table_headers(printed(filled, "repair", "--check")))
    assert {"Last run", "Requested (UTC)", "MD5 sum", "ID", "Why not", "Autosync into the group"} <= seen
    wrong = {
        header for header in seen if not re.fullmatch(r"(ID|MD5|[A-Z][a-z]+)( [a-z]+)*( \(UTC\))?", header)
    }
    assert not wrong


class Row(NamedTuple):
    name: str = "a\nb,c"
    length: int = 2048
    at: datetime = datetime(2026, 7, 22, 10)
    whole: bool = True
    unknown: int | None = None
    inner: object = {"x": [1, "\x1b"]}


COLUMNS = (
    column("name", "Name"),
    size("size_b", "Size", "length"),
    time("at", "Time"),
    flag("whole", "Whole"),
    number("unknown", "Unknown"),
    number("in.files", value=lambda row: 3),
    column("in.size_b", value="length"),
    column("inner"),
    column("", "Words", cell=lambda row: "in words"),
)


def test_a_column_has_a_form_for_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    columns.show(Format.TABLE, COLUMNS, [Row()])
    assert capsys.readouterr().out.splitlines() == [
        "Name        Size  Time (UTC)           Whole  Unknown  Words",
        "------  --------  -------------------  -----  -------  --------",
        "a\\nb,c  2.00 KiB  2026-07-22 10:00:00  yes          -  in words",
    ]
    columns.show(Format.CSV, COLUMNS, [Row()])
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "name,size_b,at,whole,unknown,in.files,in.size_b,inner"
    assert list(csv.reader(io.StringIO(out)))[1:] == [
        ["a\\nb,c", "2048", "2026-07-22T10:00:00Z", "true", "", "3", "2048", '{"x": [1, "\\u001b"]}']
    ]
    columns.show(Format.JSON, COLUMNS, [Row()])
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "a\nb,c",
            "size_b": 2048,
            "at": "2026-07-22T10:00:00Z",
            "whole": True,
            "unknown": None,
            "in": {"files": 3, "size_b": 2048},
            "inner": {"x": [1, "\x1b"]},
        }
    ]


def test_many_rows_are_written_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    columns.show(Format.CSV, (column("n", value=lambda row: row),), iter(range(2 * output.PIECE + 1)))
    assert capsys.readouterr().out.split() == ["n", *map(str, range(2 * output.PIECE + 1))]


def test_a_line_of_json_is_written_before_the_next_row_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    written = []

    def rows() -> Iterator[int]:
        for row in (1, 2, 3):
            yield row
            written.append(capfd.readouterr().out)

    columns.show(Format.JSONL, (column("n", value=lambda row: row),), rows())
    assert written == ['{"n": 1}\n', '{"n": 2}\n', '{"n": 3}\n']


def test_limit_reads_no_further_row(capsys: pytest.CaptureFixture[str]) -> None:
    for form in Format:
        rows = iter(range(10))
        ListOptions(form, limit=3).show((column("n", "N", value=lambda row: row),), rows)
        assert list(rows) == [3, 4, 5, 6, 7, 8, 9], form
        assert re.findall(r"\d", capsys.readouterr().out) == ["0", "1", "2"], form


@pytest.mark.parametrize(
    "command",
    [
        "acq files pilot",
        "acq files pilot --group offsite",
        "acq files pilot --node off1",
        "acq list",
        "file find --acq pilot --acq later",
        "file list",
        "file list --group offsite",
        "file list --node off1",
        "group list",
        "host list",
        "node list",
        "request list",
    ],
)
def test_limit_shows_the_first_rows(archive: Commands, command: str) -> None:
    for name in ("a", "b", "c"):
        archive.request(archive.file(name, off1="YY"))
    archive.file("d", acq="later", off1="YY")
    every = archive(*command.split(), "--json").json
    assert len(every) >= 2
    for limit in range(1, len(every) + 2):
        assert archive(*command.split(), "--json", "--limit", str(limit)).json == every[:limit]
    archive.fails(2, *command.split(), "--limit", "0")


def test_limit_of_paths(archive: Commands) -> None:
    for name in ("a", "b", "c"):
        archive.file(name)
    assert archive.ok("file", "list", "--limit", "2") == "pilot/a\npilot/b\n"


OPTIONS = {"--format", "--json", "--limit", "--sort", "--wide"}
# The options that a command with --format lacks, and why.
LACKING = {
    "db check": ({"--limit", "--sort", "--wide"}, "prints findings one below the other, not a table"),
    "doctor": ({"--limit", "--sort", "--wide"}, "prints findings while it checks, not a table"),
    "repair": ({"--limit", "--sort"}, "shows what it asks to confirm"),
    "rules check": ({"--limit", "--sort"}, "shows what it asks to confirm"),
}
# Arguments with which they show the list that the options are for, where there is one without.
LISTED = {
    "acq files": "acq --node dst",
    "acq list": "",
    "config show": "",
    "file find": "",
    "file list": "--node src",
    "group list": "",
    "history": "",
    "history --node": "dst",
    "history --run": "1",
    "host list": "",
    "node list": "",
    "node retire --list": "src",
    "node risk --list": "src",
    "node stats": "",
    "plan": "",
    "plan --files": "",
    "plugins": "",
    "policy check": "",
    "policy list": "",
    "request list": "--state failing",
    "status": "",
    "status --by": "host",
}


def test_every_list_has_a_format_an_order_a_limit_and_a_width() -> None:
    lacking = {}
    for name, command in walk(cli, ()):
        found = {option for parameter in command.params for option in parameter.opts} & OPTIONS
        if "--format" in found and found != OPTIONS:
            lacking[name] = OPTIONS - found
    assert lacking == {name: options for name, (options, why) in LACKING.items()}
    assert {command.partition(" --")[0] for command in LISTED} == with_format() - LACKING.keys()


@pytest.mark.one_engine
def test_every_list_can_be_sorted_by_every_column(filled: Archive) -> None:
    filled.file("earlier/larger", b"x" * 5000, "src")
    filled.do("INSERT INTO sync_event (at, run_id, file_id, node_id, what, why) SELECT '2026-01-02 03:04:05', run_id,"
              " file_id, node_id, 'zapped', 'a' FROM sync_event")  # fmt: skip
    filled.insert(
        "sync_run",
        host="another",
        started="2026-01-02 03:04:05",
        nodes="",
        pid=1,
        counts="{}",
        done=1,
        failed=0,
        bytes=5,
    )

    def listed_by(*more: str) -> list[dict[str, Any]]:
        document = json.loads(said(filled, command, " ".join((arguments, *more))))
        rows = document if isinstance(document, list) else document[ROWS[command][0]]
        return [flat(row, keys) for row in rows]

    for command, arguments in LISTED.items():
        keys = next(csv.reader(io.StringIO(printed(filled, command, arguments, "--format", "csv"))))
        rows = listed_by()
        assert len(rows) > 1 or command in ("request list", "status --by"), command
        slow = command.startswith(("plan", "plugins"))
        for at, key in enumerate(keys[-2:] if slow else keys):
            sign = "-" if at % 2 else ""
            found = listed_by(f"--sort {sign}{key}")
            values = [row[key] for row in found]
            known = [value for value in values if value is not None]
            assert values == known + [None] * (len(values) - len(known)), key
            if all(isinstance(value, int | float | str) for value in known):
                assert known == sorted(known, reverse=bool(sign)), key
            assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, rows))
        if command.startswith("history"):  # --limit chooses the newest ones, and the newest is the last
            assert listed_by(f"--sort {key} --limit 1") == rows[-1:]
        else:
            assert listed_by(f"--sort {sign}{key} --limit 1") == found[:1], command


def test_a_column_to_sort_by_is_named_as_it_is_shown(archive: Commands) -> None:
    archive.ok("node", "modify", "off1", "--notes", "a")
    for shown, key in (
        ("Name", "name"),
        ("NAME", "name"),
        ("nodes", "node_count"),
        ("Node_Count", "node_count"),
    ):
        for sign in ("", "-"):
            found = archive.ok("host", "list", "--sort", f"{sign}{shown}")
            assert found == archive.ok("host", "list", "--sort", f"{sign}{key}"), shown
    first = archive.ok("status", "--sort", "-last run", "--format", "csv")
    assert first == archive.ok("status", "--sort", "-last_run", "--format", "csv")
    assert archive.ok("status", "--sort", "in") == archive.ok("status", "--sort", "in.files")


def test_an_unknown_column_is_refused_with_the_known_ones(empty: Commands) -> None:
    for wrong in ("zzz", "-", "", "nodes "):
        text = empty.fails(2, "host", "list", "--sort", wrong)
        assert "the columns are: name, address, username, site, node_count, notes" in text


def test_values_of_any_kind_can_be_sorted(capsys: pytest.CaptureFixture[str]) -> None:
    one = column("n", value=lambda row: row)
    rows = ["b", None, {"x": 1}, 2, True, "a", 1.5, datetime(2026, 7, 22)]
    ListOptions(Format.JSON, columns.Sorting("n", descending=False)).show((one,), rows)
    shown = [row["n"] for row in json.loads(capsys.readouterr().out)]
    assert shown == [True, 1.5, 2, "2026-07-22T00:00:00Z", "a", "b", {"x": 1}, None]


def test_rows_with_the_same_value_keep_their_order() -> None:
    one = column("n", value=lambda row: row // 10)
    rows = [21, 11, 22, 12, 23]
    for limit in (None, 1, 2, 3, 4, 5, 6):
        assert (
            columns.Sorting("n", descending=False).first((one,), rows, limit) == [11, 12, 21, 22, 23][:limit]
        )
        assert (
            columns.Sorting("n", descending=True).first((one,), rows, limit) == [21, 22, 23, 11, 12][:limit]
        )


def test_rows_without_a_value_come_last_also_with_a_limit() -> None:
    one = column("n", value=lambda row: row % 10 or None)
    rows = [20, 11, 30, 12]
    for limit in (None, 1, 2, 3, 4, 5):
        assert columns.Sorting("n", descending=False).first((one,), rows, limit) == [11, 12, 20, 30][:limit]
        assert columns.Sorting("n", descending=True).first((one,), rows, limit) == [12, 11, 20, 30][:limit]


def test_sorting_with_a_limit_holds_only_these_rows() -> None:
    class Counted:
        alive = most = 0

        def __init__(self, number: int) -> None:
            self.number: int | None = number % 7 or None
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)

        def __del__(self) -> None:
            Counted.alive -= 1

    found = columns.Sorting("number", descending=True).first(
        (column("number"),), map(Counted, range(1000)), 5
    )
    assert [row.number for row in found] == [6] * 5
    assert Counted.most < 50
