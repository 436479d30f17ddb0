"""`alpenhorn export bagit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from shlex import quote

import click

from alpenhorn import __version__
from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import ACQ, NODE, names_option
from alpenhorn.cli.here import require_here
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.runs import jobs_option, workers
from alpenhorn.coordinator import export
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.listings import export as listing
from alpenhorn.listings import files as file_listing
from alpenhorn.listings.export import ExportRow
from alpenhorn.model.export import ExportFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.plan.bags import name_fault
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.paths import file_fault
from alpenhorn.reasons import Code
from alpenhorn.scan import names, topology
from alpenhorn.scan.names import NamedRow
from alpenhorn.workers.pool import Pool

NAMED = 10  # files that are named in a message


@click.command()
@click.argument("name", type=ACQ, metavar="ACQ")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@names_option(NODE, "Only use copies on NODE")
@jobs_option
@pass_app
def bagit(app: App, name: str, directory: Path, nodes: tuple[str, ...], jobs: int | None) -> None:
    """A bag is a directory with the files in DIR/data, their MD5 and SHA-256 sums, and a description, which other
    archives accept and which can be checked without alpenhorn.  DIR must not exist or be empty, and not lie on a node.

    The files are copied from good copies on active nodes of this host, and each is compared with the index as it is
    written.  If a copy differs, another one is used, and the command to check it is printed.  If a file has no good
    copy here, nothing is written, and the exit status is 1: the bag has all files of the acquisition, or does not
    exist.  Neither the index nor the nodes are changed.

    It needs the extra `bagit`.

    \b
    Examples:
      alpenhorn export bagit 20260722T000000Z_pilot /data/bags/pilot
      alpenhorn export bagit 20260722T000000Z_pilot /data/bags/pilot --node archive1
    """
    try:
        # Needs the extra.
        from alpenhorn.coordinator import bag
    except ImportError as error:
        raise Refused(Code.BAGIT_PACKAGE_MISSING(why=error)) from error

    target = directory.absolute()
    export.refuse_directory(target)
    for path in export.left_over(target):
        output.note(
            f"{path}: left by an export that was killed, or still running; if it was killed: rm -r {quote(str(path))}"
        )
    # Workers must have ended before the directory they write to is removed, and be forked before the index is opened.
    with export.unfinished(target) as made, workers(app, jobs) as pool:
        acq = names.acq(app.index, name)
        wanted = _wanted(app, acq, nodes)
        size_b = sum(file.size_b for file, _ in wanted)
        export.refuse_without_room(made.path, size_b)
        sums = _copy(app, pool, acq, wanted, made.path)
        info = {
            "Bag-Software-Agent": f"alpenhorn {__version__}",
            "Bag-Size": output.size(size_b),
            "External-Identifier": acq.name,
        }
        with LongWork(app, "Reading the bag"):
            bag.make(made.path, info, sums)
            export.publish(made, target)
    shown = quote(str(target))
    output.line(f"Wrote {shown}: {output.count(len(wanted), 'file')}, {output.size(size_b)}.  To check it:")
    output.line(f"  python3 -m bagit --validate {shown}")


def _wanted(app: App, acq: NamedRow, chosen: tuple[str, ...]) -> list[tuple[ExportFile, Sequence[NodeFact]]]:
    """Return the files with the nodes to copy them from.  Raises Refused if one of them cannot be exported."""
    usable = _nodes(app, chosen)
    with LongWork(app, f"Reading the files of {acq.name}"):
        rows = listing.files(app.index, acq.id, list(usable))
    if not rows:
        raise Refused(f"acquisition {acq.name}: has no files; nothing was written")
    faults = [(row.name, fault) for row in rows if (fault := name_fault(f"{acq.name}/{row.name}"))]
    if faults:
        shown = "; ".join(f"{f'{acq.name}/{name}'!r} {fault}" for name, fault in faults[:NAMED])
        raise Refused(
            f"acquisition {acq.name}: {output.count(len(faults), 'name')} that a bag cannot hold: {shown}"
            f"{_more(len(faults))}; nothing was written"
        )
    unknown = [
        (row.name, why) for row in rows if (why := file_fault(acq.name, row.name, row.size_b, row.md5sum))
    ]
    if unknown:
        path, why = f"{acq.name}/{unknown[0][0]}", unknown[0][1]
        raise Refused(
            f"file {path}: {why}; nothing was written; to read its length and MD5 sum from a copy: alpenhorn file"
            f" modify {quote(path)} --from-copy NODE"
        )
    if missing := [row for row in rows if not row.nodes]:
        raise Refused(_missing(app, acq, missing, len(rows), chosen))
    return [
        (
            ExportFile(
                row.file_id, f"{acq.name}/{row.name}", row.size_b or 0, (row.md5sum or "").lower(), row.sha256
            ),
            [usable[node_id] for node_id in row.nodes],
        )
        for row in rows
    ]


def _nodes(app: App, chosen: tuple[str, ...]) -> dict[int, NodeFact]:
    """Return the nodes whose copies may be used, by id.  Raises NotFound and Refused."""
    known = topology.load(app.index)
    if not chosen:
        return {node.id: node for node in sorted(known.here(app.host), key=lambda node: node.name)}
    nodes = known.named(chosen)
    for node in nodes:
        require_here(node, app.host, "nothing was written")
    return {node.id: node for node in nodes}


def _missing(app: App, acq: NamedRow, rows: Sequence[ExportRow], of: int, chosen: tuple[str, ...]) -> str:
    """Return the message about files without a good copy on the nodes that may be used."""
    where = f"on {', '.join(chosen)}" if chosen else f"on an active node of host {app.host}"
    shown = "; ".join(f"{acq.name}/{row.name} ({_elsewhere(app.index, row)})" for row in rows[:NAMED])
    first = f"{acq.name}/{rows[0].name}"
    return (
        f"acquisition {acq.name}: {len(rows)} of {output.count(of, 'file')} without a good copy {where}:"
        f" {shown}{_more(len(rows))}; nothing was written; to copy a file to a group here: alpenhorn file sync"
        f" {quote(first)} --from NODE --to GROUP; to see all copies: alpenhorn file find --acq {quote(acq.name)}"
    )


def _elsewhere(index: Index, row: ExportRow) -> str:
    good = [copy.node for copy in file_listing.copies_of(index, row.file_id) if copy.has_file == "Y"]
    return f"good on {', '.join(good)}" if good else "no good copy anywhere"


def _more(count: int) -> str:
    return f"; and {count - NAMED} more" if count > NAMED else ""


def _copy(
    app: App,
    pool: Pool,
    acq: NamedRow,
    wanted: Sequence[tuple[ExportFile, Sequence[NodeFact]]],
    made: Path,
) -> dict[str, tuple[str, str]]:
    """Copy the files, and return their MD5 and SHA-256 sums by path.  Raises Refused unless all were copied."""
    transfer = app.config.transfer
    limits = Limits(transfer.pull_timeout_base, transfer.pull_bytes_per_second, app.config.sync.jobs)
    with LongWork(app, f"Copying the files of {acq.name}") as work:
        done = export.copy_files(pool, wanted, made, limits, lambda files: work.at(files, len(wanted)))
    bad = [one for one in done.failed if one.blames or one.file.file_id not in done.sha256]
    for line in islice(_lines(bad), NAMED):
        output.warning(line)
    if len(bad) > NAMED:
        output.warning(f"and {len(bad) - NAMED} more copies")
    lost = len(wanted) - len(done.sha256)
    if lost:
        raise Refused(
            f"acquisition {acq.name}: {output.count(lost, 'file')} could not be copied from any node here; nothing was"
            " written"
        )
    return {file.path: (file.md5sum, done.sha256[file.file_id]) for file, _ in wanted}


def _lines(failed: Sequence[export.FailedCopy]) -> Iterator[str]:
    for one in failed:
        check = (
            f"; to have the copy checked: alpenhorn file verify {quote(one.file.path)} {quote(one.node.name)}"
        )
        yield f"{one.file.path} on {one.node.name}: {one.why}{check if one.blames else ''}"
