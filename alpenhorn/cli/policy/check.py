"""`alpenhorn policy check`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, column, listing_options, number, size
from alpenhorn.cli.complete import ACQ, POLICY, names_option
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.policies import MOST_COPIES, NO_POLICIES
from alpenhorn.errors import DONE, FAILED
from alpenhorn.listings import policies as listing_policies
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import names, patterns, policies

COLUMNS = (
    column("policy", "Policy"),
    column("lacks", "Lacks"),
    number("files", "Files"),
    size("size_b", "Size", "bytes"),
    column("why", "Why not yet"),
    column("code", value=lambda row: code_in_json(row.why)),
    column("path", "Example"),
)


@click.command()
@click.argument("name", type=POLICY, metavar="[POLICY]", required=False)
@names_option(ACQ, "Only files of acquisition ACQ, or of those that match a pattern, such as 'pilot*'")
@click.option(
    "--file", "paths", metavar="FILE", multiple=True, help="Only FILE, given as ACQ/NAME; may be repeated."
)
@click.option(
    "--copies",
    type=click.IntRange(1, MOST_COPIES),
    metavar="N",
    help="Check as if policy default asked for N copies.",
)
@listing_options(COLUMNS)
@pass_app
@click.pass_context
def check(
    ctx: click.Context,
    app: App,
    name: str | None,
    acqs: Sequence[str],
    paths: Sequence[str],
    copies: int | None,
    listing: ListOptions,
) -> None:
    """For each policy, files that lack the same for the same reason are shown together.  Copies count by the index:
    good, not released, on active archive nodes; when a run last saw these nodes does not matter, as it does for
    deletions.  Free space is that of the last run on each node.  The exit status is 1 if anything is lacking.

    Without a policy default, files that no policy matches are not checked; with --copies they are.

    \b
    Examples:
      alpenhorn policy check
      alpenhorn policy check raw --acq '2026*'
      alpenhorn policy check --copies 2
      alpenhorn policy check --file 20260722T000000Z_pilot/scan-001.h5
    """
    if acqs and paths:
        raise click.UsageError("--acq and --file cannot be used together")
    if name and copies is not None:
        raise click.UsageError("--copies cannot be used with the name of a policy")
    index = app.index
    policy = None if name is None else names.policy(index, name).id
    acq_ids = tuple(row.id for row in patterns.matching(index, "acquisition", acqs))
    files = [names.file(index, path).id for path in paths] if paths else None
    with LongWork(app, "Comparing the files with the policies") as work:
        rows = listing_policies.gaps(index, policy, acq_ids, files, work.at, copies)
    listing.show(COLUMNS, rows, "Nothing is lacking." if copies or policies.load(index) else NO_POLICIES)
    ctx.exit(FAILED if rows else DONE)
