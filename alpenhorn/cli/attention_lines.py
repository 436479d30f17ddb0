"""What needs attention, as lines of a terminal: the problem, and each remedy on a line of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from alpenhorn.cli import output
from alpenhorn.formats import count
from alpenhorn.monitoring.attention import Attention, by_kind

INDENT = 2
DEEPER = 2
# Names with semicolons are in the quotes of a shell; an apostrophe within a word is not one of them.
_CLAUSE = re.compile(r"""(?:(?<!\w)'[^']*'|"[^"]*"|[^;]|;(?! ))+""")
_COMMAND = re.compile(r"\balpenhorn [a-z]")
_IN_BRACKETS = re.compile(r"(.*) \(([^()]*\balpenhorn [a-z][^()]*)\)")
ALL = "to list them: alpenhorn status --wide"


def lines(items: Sequence[Attention], width: int) -> Iterator[str]:
    """Yield the lines of items, those of one kind together.

    `width`: of the terminal.  Of a kind with many items only the first are shown.
    """
    for shown, folded in by_kind(items):
        for item in shown:
            yield from item_lines(item.line, width)
        if folded:
            yield from item_lines(
                f"{count(len(folded), 'more item', 'more items')} of this kind; {ALL}", width
            )


def item_lines(text: str, width: int) -> list[str]:
    """Return the text of an item on one line if it fits, otherwise its problem, and below it each remedy."""
    margin = " " * INDENT
    if output.columns(margin + text) <= width:
        return [margin + text]
    problem, remedies = parts(text)
    found = [margin + line for line in output.fold(problem, width - INDENT)]
    for remedy in remedies:
        found += _remedy_lines(remedy, width, INDENT + DEEPER)
    return found


def parts(text: str) -> tuple[str, list[str]]:
    """Divide a text at its semicolons into the problem and its remedies: the clauses that name a command."""
    problem: list[str] = []
    remedies: list[str] = []
    for clause in _CLAUSE.findall(text):
        words = clause.strip()
        if match := _IN_BRACKETS.fullmatch(words):
            words, remedy = match.groups()
            (remedies if remedies else problem).append(words)
            remedies.append(remedy)
        elif problem and _COMMAND.search(words):
            remedies.append(words)
        elif remedies:  # belongs to the remedy before it
            remedies[-1] += f"; {words}"
        else:
            problem.append(words)
    return "; ".join(problem), remedies


def _remedy_lines(remedy: str, width: int, indent: int) -> list[str]:
    """Return a remedy on one line if it fits, otherwise its command, which is never folded, on a line of its own."""
    margin = " " * indent
    command = _COMMAND.search(remedy)
    if output.columns(margin + remedy) <= width or command is None:
        return [margin + remedy]
    before, rest = remedy[: command.start()].rstrip(), remedy[command.start() :]
    deeper = " " * (indent + DEEPER)
    return [*(margin + line for line in output.fold(before, width - indent)), deeper + rest]
