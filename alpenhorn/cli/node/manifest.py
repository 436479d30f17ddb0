"""`alpenhorn node manifest`: a list of the files on a node, on the node."""

from __future__ import annotations

import shlex

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.runs import heard, workers
from alpenhorn.errors import Refused
from alpenhorn.model.nodes import MANIFEST


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option("--wait", is_flag=True, help="Wait for a run that is working on the node.")
@pass_app
@click.pass_context
def manifest(ctx: click.Context, app: App, name: str, wait: bool) -> None:
    """With the manifest, files can be checked without the index.  It is the file .alpenhorn/manifest.md5 below
    the node's root: path, length and MD5 sum of each good copy, in a form that md5sum -c reads on any
    machine, and from which alpenhorn db rebuild fills a new index.  This command runs on the node's host.
    Runs keep a manifest on every node, which shows them whether a node that was away comes back changed; this
    command writes it now.  Nodes of class LustreHSM have one only from this command.

    \b
    Example:
      alpenhorn node manifest archive1
    """
    with workers(app, None, for_run=True) as pool:
        # Imported only now: the workers, forked before, need none of it.
        from alpenhorn.cli.sync import attention
        from alpenhorn.coordinator.nodes import left_out_reason
        from alpenhorn.coordinator.report import Asked, Unwatched
        from alpenhorn.coordinator.sync import sync
        from alpenhorn.scan import topology
        from alpenhorn.workers.stopping import StopRequest

        asked = Asked((name,), wait=wait, manifest=True)
        with StopRequest(pool.wakeup) as stopping:
            report = sync(app.index, pool, app.config, asked, Unwatched(), app.now, stopping)
        if name in report.left_out:
            raise Refused(f"{left_out_reason(name, report.left_out[name])}; no manifest was written")
        root = topology.load(app.index).named([name])[0].root or ""
    with heard(app, report):
        if name in report.manifests:
            files, size_b = report.manifests[name]
            output.line(
                f"{root}/{MANIFEST} tells of {output.count(files, 'file')}, {output.size(size_b)}. To check them:"
            )
            output.line(f"  cd {shlex.quote(root)} && md5sum --quiet -c {MANIFEST}")
        attention(report)
    ctx.exit(report.exit_status)
