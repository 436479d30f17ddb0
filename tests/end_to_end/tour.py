"""Tours, read from the documentation and run line by line, each host in a shell of its own.

In blocks of the kind `console` a line that begins with a prompt is a command: `field$ ` and `archive$ ` name its
host, `$ ` means every host of the document.  A command that ends with a backslash continues on the next line.
The output of both streams follows, up to the next prompt; if none is shown, none is compared.  A block of another
kind after a line that ends in "`PATH`:" is the content of that file, on every host.  Blocks of the kind `sh` are for
other tests.

In the output, `…` stands for a time, a number or a size that differs between runs, and for nothing else.  The widths
of columns depend on their contents, so the lengths of runs of blanks and dashes are not compared.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fixtures.archive import wait_for
from tests.fixtures.manual import Block, blocks

PROMPT = re.compile(r"(?P<host>[a-z]*)\$ (?P<command>.*)")
NAMED = re.compile(r"`(?P<path>[^`]+)`:$")
WILD = "…"
# a time, a number, a size, a share, a span of time
MEASURED = r"[0-9][-0-9:. ]*(?:(?:[kMGTPE]i)?B|%|s|min|(?:second|minute)s?)?"


class Step(NamedTuple):
    """A command; `host`: empty for all hosts; `shown`: None if the text shows no output."""

    number: int  # of the line in the text
    below: int  # the number of the line after the command
    host: str
    command: str
    shown: tuple[str, ...] | None


class File(NamedTuple):
    number: int
    path: str
    content: str


def script(text: str) -> Iterator[Step | File]:
    """Return the commands and files of a document, in order."""
    for block in blocks(text):
        if block.kind == "console":
            yield from _steps(block)
        elif block.kind != "sh":
            named = NAMED.search(block.before)
            assert named, f"line {block.number}: nothing says which file this is"
            yield File(block.number, named["path"], "\n".join(block.lines) + "\n")


def _steps(block: Block) -> Iterator[Step]:
    lines = list(enumerate(block.lines, block.number))
    while lines:
        number, line = lines.pop(0)
        prompt = PROMPT.fullmatch(line)
        assert prompt, f"line {number}: no command: {line}"
        command = prompt["command"]
        while command.endswith("\\"):
            command = command[:-1] + lines.pop(0)[1].strip()
        below = lines[0][0] if lines else 0
        shown = []
        while lines and not PROMPT.fullmatch(lines[0][1]):
            shown.append(lines.pop(0)[1])
        yield Step(number, below, prompt["host"], command, tuple(shown) if shown else None)


def differs(shown: Sequence[str], said: Sequence[str]) -> str:
    """Return how the output shown in the text differs from the actual one; empty if it does not."""
    shown, said = [_plain(line) for line in shown], [_plain(line) for line in said]
    for expected, found in zip(shown, said, strict=False):
        pattern = f"(?:{MEASURED})".join(re.escape(part) for part in expected.split(WILD))
        if not re.fullmatch(pattern, found):
            return f"shown: {expected}\n said: {found}"
    if len(shown) != len(said):
        return f"{len(shown)} lines are shown, {len(said)} were said:\n" + "\n".join(said)
    return ""


def _plain(line: str) -> str:
    return re.sub(r"-{2,}", "--", " ".join(line.split()))


class Shell:
    """The shell of a host, which runs one line after the other.

    `words` are the literal replacements that make the text's commands run here; in what they say they are undone.
    """

    def __init__(
        self, name: str, directory: Path, environ: Mapping[str, str], words: Mapping[str, str]
    ) -> None:
        self.name = name
        self.home = Path(environ["HOME"])
        self._words = words
        self._wrote = 0  # when the second after the last file was written has passed
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self, command: str) -> None:
        assert self._bash.stdin is not None
        if self._wrote:
            # A person takes more than a second to type the next command.  A file that is registered in the second in
            # which it was written may have been written again after that.
            wait_for(lambda: time.time() >= self._wrote, "the next second")
        self._wrote = int(time.time()) + 2 if " > " in command else 0
        self._bash.stdin.write(f"{{ {self._here(command)}\n}} </dev/null 2>&1; printf '\\n=%s\\n' $?\n")
        self._bash.stdin.flush()

    def end(self) -> tuple[int, list[str]]:
        """Wait for the command; return its exit status and the lines that it printed."""
        assert self._bash.stdout is not None
        said: list[str] = []
        for line in self._bash.stdout:
            if re.fullmatch(r"=\d+\n", line):
                # The line end before the status is ours; it closes the last line, or makes an empty one.
                lines = "".join(said).removesuffix("\n").splitlines()
                return int(line[1:]), [self._as_written(line) for line in lines]
            said.append(line)
        raise AssertionError(f"the shell of {self.name} ended: {said}")

    def write(self, path: str, content: str) -> None:
        at = Path(path.replace("~", str(self.home), 1))
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(self._here(content))

    def close(self) -> None:
        self._bash.kill()
        self._bash.communicate()

    def _here(self, text: str) -> str:
        for written, real in self._words.items():
            text = text.replace(written, real)
        return text

    def _as_written(self, text: str) -> str:
        for written, real in self._words.items():
            text = text.replace(real, written)
        return text
