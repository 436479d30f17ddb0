"""Options, filters and columns of the commands on files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.arguments import Md5Sum, Size
from alpenhorn.cli.columns import column, size, time
from alpenhorn.cli.complete import ACQ, GROUP, NODE, names_option
from alpenhorn.index.connection import Index
from alpenhorn.listings import files as listing
from alpenhorn.listings.files import FileFilter
from alpenhorn.scan import names, patterns


def state_options(command: CommandFunction) -> CommandFunction:
    for state in ("suspect", "missing", "healthy", "corrupt"):
        command = click.option(
            f"--{state}", is_flag=True, help=f"Only {state} copies; state options may be combined."
        )(command)
    return command


def place_options(command: CommandFunction) -> CommandFunction:
    """Add --acq, --node and --group to a command, each for names or patterns."""
    command = names_option(
        ACQ, "Only files of acquisition ACQ, or of those that match a pattern, such as 'pilot*'"
    )(command)
    command = names_option(NODE, "Only files on NODE, a name or a pattern")(command)
    return names_option(GROUP, "Only files in GROUP, a name or a pattern")(command)


def chosen_states(**flags: bool) -> tuple[str, ...]:
    return tuple(state for state, given in flags.items() if given)


def ids(found: Sequence[names.NamedRow]) -> tuple[int, ...]:
    return tuple(row.id for row in found)


def file_filter(
    index: Index, acqs: Sequence[str], nodes: Sequence[str], groups: Sequence[str], states: tuple[str, ...]
) -> FileFilter:
    return FileFilter(
        acqs=ids(patterns.matching(index, "acquisition", acqs)),
        nodes=ids(patterns.matching(index, "node", nodes)),
        groups=ids(patterns.matching(index, "group", groups)),
        states=states,
    )


FILE_COLUMNS = (
    column("path", "File"),
    column("acq"),
    column("name"),
    size("size_b", "Size"),
    column("md5sum", "MD5 sum"),
    time("registered", "Registered"),
)
COPY_COLUMNS = (
    column("node", "Node"),
    column("group", "Group"),
    column("state", "State"),
    column("has_file"),
    column("wants_file"),
    column("ready"),
    size("size_b"),
    size("space_b", "Space used"),
    time("last_update", "Last update"),
)
# For a copy in a list with copies of many files.
FOUND_COPY_COLUMNS = (
    column("path", "File"),
    column("node", "Node"),
    column("group"),
    column("state", "State"),
    column("has_file"),
    column("wants_file"),
    column("ready"),
    size("size_b", "Size"),
    column("space_b"),
    column("last_update"),
)


def facts_options(command: CommandFunction) -> CommandFunction:
    command = click.option(
        "--size",
        "size_b",
        metavar="SIZE",
        type=Size(),
        help="Length of the file: a number of bytes, or a size such as 2 GiB.",
    )(command)
    return click.option(
        "--md5", "md5sum", metavar="HASH", type=Md5Sum(), help="MD5 sum of the file: 32 hexadecimal digits."
    )(command)


def state_words(copy: listing.CopyRow | None) -> str:
    """Return the state of a copy in words, with Removable, Released and Ready if they apply."""
    if copy is None:
        return "Absent"
    if copy.has_file == "N":
        return copy.state
    words = ["Changed" if copy.changed else {"Y": "Healthy", "M": "Suspect", "X": "Corrupt"}[copy.has_file]]
    if copy.wants_file != "Y":
        words.append("Removable" if copy.wants_file == "M" else "Released")
    if copy.ready:
        words.append("Ready")
    return " ".join(words)
