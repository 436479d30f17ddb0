"""Man pages: one for each command, complete, and accepted by the formatter without a warning."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.cli.main import cli
from alpenhorn.packaging.manpages import escaped, pages, write_pages

INSTALL = "install the Debian package man-db, which depends on groff-base"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pages, in the layout that `man` searches for section 1."""
    for program in ("man", "groff"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; {INSTALL}")
    directory = tmp_path_factory.mktemp("share") / "man" / "man1"
    write_pages(directory)
    return directory


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, click.Context(found, info_name=name, parent=context))


ALL = dict(commands(cli, click.Context(cli, info_name="alpenhorn", **cli.context_settings)))


def shown(directory: Path, name: str) -> str:
    """Return the output of `man NAME` without line breaks."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "MANPATH": str(directory.parent),
        "MANWIDTH": "100",
        "LC_ALL": "C",
    }
    done = subprocess.run(["man", name], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    return " ".join(done.stdout.split())


def formatted(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = ["groff", "-man", "-ww", "-P-cbou", *options]
    return subprocess.run(argv, input=text, capture_output=True, text=True)


def test_every_command_has_a_page() -> None:
    assert [name for name, _ in pages()] == [path.replace(" ", "-") for path in ALL]


def test_man_finds_and_shows_the_pages(directory: Path) -> None:
    start = shown(directory, "alpenhorn")
    assert "SYNOPSIS alpenhorn [OPTIONS] COMMAND [ARGS]..." in start
    for heading in ("EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"):
        assert heading in start
    # Rows of the tables in the manual.
    for row in (
        "0 done, or nothing to do",
        "130, 143 stopped at once",
        "ALPENHORN_CONFIG_FILE a configuration file, ",
    ):
        assert row in start
    for name in cli.list_commands(click.Context(cli)):
        assert f"alpenhorn-{name}(1)" in start
    page = shown(directory, "alpenhorn-sync")
    assert "-n, --dry-run" in page and "-h, --help" in page and "EXAMPLES alpenhorn sync" in page


def test_the_formatter_has_no_complaint(directory: Path) -> None:
    argv = ["groff", "-man", "-ww", "-Tutf8", "-z", *map(str, sorted(directory.iterdir()))]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # It does complain of what is wrong:
    assert formatted(".TH A 1\n.XY\n\\fZx\n", "-Tutf8", "-z").stderr


def test_every_page_has_the_whole_help_of_its_command(directory: Path) -> None:
    for path, command in ALL.items():
        name = path.replace(" ", "-")
        done = formatted((directory / f"{name}.1").read_text("ascii"), "-Tascii", "-rLL=9999n")
        assert (done.returncode, done.stderr) == (0, "")
        page = " ".join(done.stdout.split())
        # The page has the code in bold instead, and no marker for what is not to be wrapped.
        text = f"{command.help}\n{command.epilog or ''}".replace("`", "").replace("\b", "")
        for line in text.splitlines():
            if line.strip() not in ("Example:", "Examples:"):
                assert " ".join(line.split()) in page, name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in page for option in (*parameter.opts, *parameter.secondary_opts))
                assert " ".join((parameter.help or "").replace("`", "").split()) in page, parameter.opts


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_text_is_shown_as_it_is(text: str) -> None:
    shown = formatted(f".TH A 1\n.nh\n.nf\n{escaped(text)}|\n", "-Tascii", "-rLL=9999n").stdout
    assert text.lstrip() + "|" in shown


def test_the_date_is_that_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert all('"1970-01-02"' in text.splitlines()[0] for _, text in pages())
