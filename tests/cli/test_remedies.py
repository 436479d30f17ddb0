"""Each command that a message prints can be typed: its path, options and arguments exist and fit."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import alpenhorn
from alpenhorn.cli.app import App
from alpenhorn.cli.main import cli, main
from alpenhorn.reasons import Code
from tests.cli.conftest import Archive
from tests.fixtures.archive import Archive as RealArchive
from tests.fixtures.remedies import TOP, commands, others

pytestmark = pytest.mark.one_engine

COUNTS = {"done": 0, "failed": 0, "bytes": 0}
WHEN = "2026-07-22 10:00:00"
PACKAGE = Path(alpenhorn.__file__).parent
# What a placeholder stands for, where it is not a name.
STANDS_FOR = {
    "kind": "node",
    "missing": "--size 1",
    "allowed": " --archive-ok",
    "' '.join(missing)": "--host HOST --root DIR",
    "options": "--address ADDRESS --username USER",
    "more": "",
    "only": " --node NODE",
    "wrong": "suspect",
    "failing.example": "ID",
    "quote(root)": "DIR",
    "self.option": "--io-var jobs=VALUE",
    "_often(every)": "every 5 minutes",
    "'it' if files == 1 else 'them'": "them",
}
# Values of placeholders and of the words that stand for values.
VALUES = {
    "DIR": "/srv/7",
    "FILE": "7/7",
    "SIZE": "500GB",
    "ID": "7",
    "HASH": "0" * 32,
    "KIB": "500",
    "LIST": "/dev/null",
    "MINUTES": "5",
    "COMMAND": "sync",
    "TOPIC": "json",
}
# Words after the name of the program in prose.
PROSE = {
    "daemon", "every", "has", "identity", "manifest", "must", "needs", "never", "on", "serves", "-vv", "writable",
    "{shape}",
    "{__version__}",
    '{__version__}"',
}  # fmt: skip


class Message(ast.NodeVisitor):
    """Collects the texts of a module, except docstrings, with placeholders in braces."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.found.append((node.lineno, text_of(node)))
        for value in node.values:  # a placeholder may contain a text of its own
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.append((node.lineno, node.value))


def text_of(node: ast.JoinedStr) -> str:
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif isinstance(value, ast.FormattedValue):
            named = ast.unparse(value.value)
            parts.append(STANDS_FOR.get(named, "{" + re.sub(r"[^\w.]", "_", named) + "}"))
    return "".join(parts)


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each message that names the program."""
    for path in sorted(PACKAGE.rglob("*.py")):
        collected = Message()
        collected.visit(ast.parse(path.read_text()))
        for line, text in collected.found:
            if "alpenhorn " in text:
                yield f"{path.relative_to(PACKAGE)}:{line}", text.replace(r"\g<topic>", "TOPIC")


def typed(words: list[str]) -> list[str]:
    """Return the words with values instead of placeholders: everything is called 7, and the file is 7/7."""
    words = [re.sub(r"\{[^{}]*(path|example)[^{}]*\}", "7/7", word) for word in words]
    words = [re.sub(r"\{[^{}]*\}", "7", word) for word in words]
    return [
        re.sub(r"^(.*=)?([A-Z]+)$", lambda match: (match[1] or "") + VALUES.get(match[2], "7"), word)
        for word in words
    ]


def parse(words: list[str]) -> None:
    """Parse a command as if it had been typed.  Raises click.UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="alpenhorn", obj=App())
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name}")
        command, context = found, click.Context(found, parent=context, info_name=name)
    try:
        command.make_context(command.name, list(words), parent=context.parent)
    except click.exceptions.Exit:  # --help
        assert "--help" in words


def test_each_command_in_a_message_can_be_typed() -> None:
    wrong, parsed = [], 0
    for place, text in messages():
        for words in commands(text):
            try:
                parse(typed(words))
                parsed += 1
            except click.UsageError as error:
                wrong.append(f"{place}: alpenhorn {' '.join(words)}: {error.message}")
    assert not wrong, "\n".join(wrong)
    assert parsed > 150


# Expressions in commands that are not names: numbers, options, states, and names that were quoted before.
NO_NAMES = {
    "name", "options", "only", "allowed", "more", "wrong", "failing.example", "request.id", "row.id",
    "run.id",
    "' '.join(missing)", "missing", "quota",
}  # fmt: skip
_IN_COMMAND = re.compile(r"\balpenhorn +[a-z](?:[^;,()`:]|: )*$")


def test_names_in_commands_are_quoted_for_a_shell() -> None:
    wrong, quoted = [], 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            before = ""
            for part in node.values if isinstance(node, ast.JoinedStr) else ():
                if isinstance(part, ast.Constant):
                    before += str(part.value)
                    continue
                assert isinstance(part, ast.FormattedValue)
                named = ast.unparse(part.value)
                said = _IN_COMMAND.search(before)
                if said and said[0].split()[1] in TOP:
                    quoted += "quote" in named
                    if "quote" not in named and named not in NO_NAMES:
                        wrong.append(f"{path.relative_to(PACKAGE)}:{part.lineno}: {named}")
                before += "x"
    for code in Code:
        for found in re.finditer(r"\{(\w+)(!q)?[^{}]*\}", code.text):
            said = _IN_COMMAND.search(code.text[: found.start()].replace("{", "").replace("}", ""))
            if said and said[0].split()[1] in TOP and found[1] not in ("where", "count"):
                quoted += bool(found[2])
                if not found[2]:
                    wrong.append(f"{code}: {found[1]}")
    assert not wrong, "\n".join(wrong)
    assert quoted > 80


def test_a_reason_quotes_the_names_in_its_commands_only() -> None:
    why = Code.DESTINATION_INACTIVE(node="it's $x")
    assert why.startswith("it's $x is not active") and why.about == "it's $x"
    assert shlex.split(why.rpartition(": alpenhorn ")[2]) == ["node", "activate", "it's $x"]
    assert Code.NODE_WITHOUT_ROOT(node="plain").endswith("alpenhorn node modify plain --root DIR")


# They ask on a terminal, or change the user's crontab; tests of their own type them.
NOT_RUN = ("init", "crontab --install")


def test_each_command_in_a_message_can_be_run(
    empty: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an archive that has what it names; it may find nothing to do, or refuse that with a reason."""
    monkeypatch.chdir(tmp_path)  # some write a file
    for table in ("storagehost", "storagegroup", "archiveacq"):
        empty.insert(table, id=7, name="7")
    (tmp_path / "7").mkdir()
    node = {"name": "7", "root": str(tmp_path / "7"), "host_id": 7, "group_id": 7}
    empty.insert(
        "storagenode", id=7, **node, active=1, archive=0, auto_import=0, auto_verify=0, min_avail_gb=0
    )
    empty.insert("archivefile", id=7, acq_id=7, name="7", size_b=1, md5sum="0" * 32, registered=WHEN)
    empty.insert(
        "archivefilecopy", file_id=7, node_id=7, has_file="Y", wants_file="Y", ready=1, last_update=WHEN
    )
    empty.request(7, "7", "7", id=7)
    empty.insert("sync_run", id=7, host="7", nodes="7", started=WHEN, ended=WHEN, exit_status=0, **COUNTS)
    lines = {" ".join(typed(words)) for _, text in messages() for words in commands(text)}
    wrong = []
    for line in sorted(lines - set(NOT_RUN)):
        words = [word.replace("/srv/7", str(tmp_path / "new")) for word in line.split()]
        done = empty(*words)
        assert "Traceback" not in done.err, (line, done)
        if done.status not in (0, 1, 3, 4):
            wrong.append((line, done))
    assert not wrong


# Commands that print what needs attention.
PRINTING = (
    "status", "status --wide", "doctor", "db check", "plan", "plan --files", "request list", "request show 2",
    "request show 3", "node show src", "node show gone", "node risk src", "node risk dst", "file show acq/bad",
    "node show 'far one'", "rules check", "repair --check", "history", "sync", "node clean dst", "node clean src --now",
    "file clean acq/bad --node dst --archive-ok", "file delete acq/good", "acq delete acq", "host delete here",
    "node activate gone", "file modify acq/good --size 7", "file verify acq/good 'far one'",
    "node verify 'far one'", "group sync dst nope",
)  # fmt: skip


def test_each_command_that_is_printed_works_when_it_is_typed(filled: RealArchive) -> None:
    conf = str(filled.configure())
    # Names that a shell would split.
    filled.do("UPDATE storagenode SET name = 'far one', active = 0 WHERE name = 'far'")
    filled.do("UPDATE archivefile SET name = 'lo st' WHERE name = 'lost'")

    def said(words: Sequence[str]) -> tuple[int, str]:
        with CliRunner().isolation() as (out, err, _):
            status = main(["-c", conf, *words])
            return status, out.getvalue().decode() + err.getvalue().decode()

    printed: dict[str, str] = {}
    for line in PRINTING:
        status, text = said(shlex.split(line))
        assert status != 2, (line, text)
        cells = re.split(r" {2,}|\n", text)
        printed |= {shlex.join(words): line for cell in cells for words in commands(cell)}
    own = {line for line in printed if not re.search(r"\b[A-Z]{2,}\b", line)} - set(NOT_RUN)
    assert len(own) > 20 and any("'far one'" in line for line in own), own
    assert "history --file 'acq/lo st'" in own
    wrong = []
    for line in sorted(own):
        status, text = said(shlex.split(line))
        if status not in (0, 1, 4) or re.search(
            "Traceback|no (node|host|group|file|acquisition|request|run) ", text
        ):
            wrong.append((printed[line], line, status, text))
    assert not wrong


def test_nothing_else_in_a_message_looks_like_a_command() -> None:
    """Otherwise a command with a mistake in its first word would not be noticed."""
    found = {(word, place) for place, text in messages() for word in others(text)}
    assert not [(word, place) for word, place in sorted(found) if word not in PROSE]


@pytest.mark.parametrize(
    "words",
    ["node nothing", "node modify", "node init 7 --no-such", "node modify 7 --min-avail much", "plan 7"],
)
def test_what_cannot_be_typed_is_noticed(words: str) -> None:
    with pytest.raises(click.UsageError):
        parse(words.split())
