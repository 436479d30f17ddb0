"""Names from the index, completed by real shells as they are typed on a terminal."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.cli.main import cli
from tests.cli.conftest import Archive
from tests.cli.test_main import walk
from tests.fixtures.archive import Archive as RealArchive
from tests.fixtures.archive import stand_in
from tests.fixtures.manual import block_lines, page, section

SHELLS = ("bash", "zsh", "fish")
FISH = "_ALPENHORN_COMPLETE=fish_source alpenhorn | source"

CURIOUS = [
    "old disk",
    "it's",
    'a"quote',
    "格納庫",
    "éa",
    "b:c=d",
    "st*r",
    "x$(touch hacked)",
    "back`touch hacked`",
    "semi;touch hacked",
    "we\\ird",
    "~home",
    "#no",
    "!9",
]


class Computer:
    """A machine with the program on PATH and an index in the home directory's usual place."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        stand_in(home / "bin", "alpenhorn", f'exec {shlex.quote(sys.executable)} -m alpenhorn "$@"')
        self.environ = {
            "PATH": f"{home / 'bin'}:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ALPENHORN_DATABASE_URL": url,
        }

    def run(self, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env=self.environ | environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def read(self, line: str) -> list[str]:
        """The arguments that a shell passes to the program when that line is entered."""
        done = self.run("bash", "-c", f'alpenhorn () {{ printf "%s\\n" "$@"; }}; {line}')
        assert (done.returncode, done.stderr) == (0, ""), line
        return done.stdout.splitlines()

    def asked(self, shell: str, line: str) -> subprocess.CompletedProcess[str]:
        """What click answers to the completion script of a shell when TAB is pressed at the end of a line."""
        words = re.split(r"(?<!\\) ", line)
        if shell == "fish":
            return self.run(
                "alpenhorn", _ALPENHORN_COMPLETE="fish_complete", COMP_WORDS=line, COMP_CWORD=words[-1]
            )
        return self.run(
            "alpenhorn",
            _ALPENHORN_COMPLETE=f"{shell}_complete",
            COMP_WORDS="\n".join(words) if shell == "bash" else line,
            COMP_CWORD=str(len(words) - 1),
        )

    def names(self, shell: str, line: str) -> list[str]:
        done = self.asked(shell, line)
        assert (done.returncode, done.stderr) == (0, ""), done
        if shell == "zsh":
            return done.stdout.splitlines()[1::3]
        return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]


@pytest.fixture
def computer(sqlite_archive: RealArchive) -> Computer:
    for name in CURIOUS:
        sqlite_archive.host(name)
    return Computer(sqlite_archive.base, sqlite_archive.url)


# Each puts nothing but the prompt before the line, and shows what is in it when Ctrl-X z is pressed.
STARTS = {
    "bash": r"""
        PS1='ready>'; set +H; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'
        shown() { printf '\n<<%s>>\n' "$READLINE_LINE"; READLINE_LINE=; }
        bind -x '"\C-xz": shown'
        eval "$(_ALPENHORN_COMPLETE=bash_source alpenhorn)"
        """,
    "zsh": r"""
        PS1='ready>'; unset zle_bracketed_paste; unsetopt prompt_cr prompt_sp beep
        autoload -U compinit; compinit -u -D
        shown() { print -r -- $'\n'"<<$BUFFER>>"; BUFFER= }
        zle -N shown; bindkey '^Xz' shown
        eval "$(_ALPENHORN_COMPLETE=zsh_source alpenhorn)"
        """,
}


class Typist:
    """An interactive shell on a terminal.  `line` types a text and presses TAB, and gives the line as it is then."""

    def __init__(self, shell: str, computer: Computer) -> None:
        (computer.home / ".zshrc").write_text(STARTS["zsh"])
        (computer.home / ".bashrc").write_text(STARTS["bash"])
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.chdir(computer.home)
            os.execve(f"/usr/bin/{shell}", [shell, "-i"], computer.environ)
        termios.tcsetwinsize(self.terminal, (24, 500))
        self._said = ""
        self._until("ready>")

    def line(self, text: str) -> str:
        self._type(f"{text}\t\x18z")
        return self._until(r"<<(.*?)>>\r?\n").group(1)

    def close(self) -> None:
        os.close(self.terminal)
        os.waitpid(self.child, 0)

    def _type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def _until(self, pattern: str) -> re.Match[str]:
        """Read until something comes that fits the pattern; what was read up to there is forgotten."""
        while not (found := re.search(pattern, self._said)):
            self._said += os.read(self.terminal, 10000).decode(errors="replace")
        self._said = self._said[found.end() :]
        return found


@pytest.fixture(params=list(STARTS))
def typist(request: pytest.FixtureRequest, computer: Computer) -> Iterator[Typist | None]:
    """A shell; None where it is not installed, which bash always is."""
    if request.param != "bash" and not Path("/usr/bin", request.param).exists():
        yield None
        return
    one = Typist(request.param, computer)
    yield one
    one.close()


def beginning(name: str) -> str:
    """As much of a name as tells it from the others, as it is typed."""
    return re.sub(r"(\W)", r"\\\1", name[:2])


def test_a_name_is_completed_so_that_the_shell_reads_that_name(
    computer: Computer, typist: Typist | None
) -> None:
    for name in CURIOUS:
        if typist is None:
            assert computer.names("zsh", f"alpenhorn host show {beginning(name)}") == [name]
        else:
            line = typist.line(f"alpenhorn host show {beginning(name)}")
            assert computer.read(line) == ["host", "show", name], line
    assert not (computer.home / "hacked").exists()


def test_a_name_is_completed_within_quotation_marks(computer: Computer, typist: Typist | None) -> None:
    for begun, name in (
        ("'ol", "old disk"),
        ('"ol', "old disk"),
        ("old\\ d", "old disk"),
        ('"x', "x$(touch hacked)"),
        ("'x", "x$(touch hacked)"),
        ("'it", "it's"),
        ('"a', 'a"quote'),
        ('"we', "we\\ird"),
    ):
        if typist is None:
            assert computer.names("zsh", f"alpenhorn host show {begun}") == [name]
        else:
            line = typist.line(f"alpenhorn host show {begun}")
            assert computer.read(line) == ["host", "show", name], line


def test_fish_gets_the_names(computer: Computer) -> None:
    asked = [(f"alpenhorn host show {beginning(name)}", [name]) for name in CURIOUS]
    asked += [("alpenhorn host show 'ol", ["old disk"]), ("alpenhorn host show ", sorted(CURIOUS))]
    if not Path("/usr/bin/fish").exists():
        for line, names in asked:
            assert sorted(computer.names("fish", line)) == names
        return
    script = [FISH]
    script += [f"complete -C {fish_word(line)}; echo =" for line, _ in asked]
    done = computer.run("fish", "--no-config", "-c", "\n".join(script))
    assert done.stderr == ""
    answers = [sorted(answer.splitlines()) for answer in done.stdout.split("=\n")[:-1]]
    assert answers == [names for _, names in asked]


def fish_word(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


def test_fish_is_not_told_a_name_that_its_script_would_cut(
    computer: Computer, sqlite_archive: RealArchive
) -> None:
    sqlite_archive.host("comma,name")
    assert computer.names("fish", "alpenhorn host show comm") == []
    assert computer.names("bash", "alpenhorn host show comm") == ["comma,name"]


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_every_kind_on_both_engines(
    archive: Archive, index_url: str, tmp_path: Path, shell: str
) -> None:
    archive.insert("archiveacq", name="pilot,é")
    archive.insert("archiveacq", name="pilot")
    computer = Computer(tmp_path, index_url)
    for line, names in {
        "alpenhorn host show ": ["alp1", "alp2"],
        "alpenhorn node show o": ["off1", "off2"],
        "alpenhorn node show nothing": [],
        "alpenhorn node sync field1 off": ["offsite"],
        "alpenhorn node list --group f": ["field"],
        "alpenhorn request list --acq pil": ["pilot"] if shell == "fish" else ["pilot", "pilot,é"],
    }.items():
        assert computer.names(shell, line) == names


@pytest.mark.parametrize("shell", SHELLS)
def test_the_file_of_the_option_is_read(computer: Computer, shell: str) -> None:
    (computer.home / "own.toml").write_text(
        f'[database]\nurl = "{computer.environ.pop("ALPENHORN_DATABASE_URL")}"\n'
    )
    assert computer.names(shell, "alpenhorn host show old") == []
    for conf in (computer.home / "own.toml", "~/own.toml"):
        # In bash a blank in a name is told with a backslash, which its script takes as two.
        (name,) = computer.names(shell, f"alpenhorn -c {conf} host show old")
        assert name.replace("\\", "") == "old disk"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:////nowhere/index.db",
        "mysql://nobody@127.0.0.1:1/none",
        "mysql://127.0.0.1:x/",
        "nonsense",
    ],
)
def test_without_an_index_nothing_is_said_and_nothing_is_made(tmp_path: Path, shell: str, url: str) -> None:
    computer = Computer(tmp_path, url)
    if not url:
        del computer.environ["ALPENHORN_DATABASE_URL"]
    before = sorted(tmp_path.rglob("*"))
    done = computer.asked(shell, "alpenhorn host show al")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_a_broken_configuration_and_an_empty_file_are_no_concern_of_a_completion(
    tmp_path: Path, shell: str
) -> None:
    computer = Computer(tmp_path, f"sqlite:///{tmp_path}/empty.db")
    (tmp_path / "empty.db").touch()
    (tmp_path / "broken.toml").write_text("[sync")
    for conf in ("", "-c broken.toml ", "-c missing.toml "):
        done = computer.asked(shell, f"alpenhorn {conf}host show al")
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_wherever_a_name_that_exists_is_asked_for_it_is_completed() -> None:
    kinds = {"HOST": "host", "GROUP": "group", "NODE": "node", "ACQ": "acquisition"}
    found = {
        f"{name} {parameter.opts[0]}": (kinds[metavar], parameter.type.name)
        for name, command in walk(cli, ())
        for parameter in command.params
        if (metavar := str(parameter.metavar).strip("[]")) in kinds
    }
    assert len(found) > 50
    wrong = {name: kind for name, (kind, real) in found.items() if kind != real}
    assert wrong == {}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_columns_of_a_listing_are_completed(computer: Computer, shell: str) -> None:
    assert computer.names(shell, "alpenhorn node list --sort avail") == ["avail_b", "avail_checked"]


def test_completion_is_enabled_by_the_lines_of_the_manual() -> None:
    lines = block_lines(section(page("install"), "Shell completion"))
    bash, zsh, fish = (line.partition("#")[0].strip() for line in lines)
    assert bash in STARTS["bash"] and zsh in STARTS["zsh"] and fish == FISH
