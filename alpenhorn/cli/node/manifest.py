"""`alpenhorn node manifest`: write a list of the files on a node onto the node."""

from __future__ import annotations

import shlex
from contextlib import closing

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.monitored import monitored
from alpenhorn.cli.progress import ProgressForm, display, progress_option
from alpenhorn.cli.runs import recording_output_failure, workers
from alpenhorn.cli.sync import attention
from alpenhorn.coordinator.nodes import left_out_reason
from alpenhorn.coordinator.report import Asked
from alpenhorn.coordinator.sync import sync
from alpenhorn.errors import Refused
from alpenhorn.model.nodes import MANIFEST
from alpenhorn.scan import topology
from alpenhorn.workers.stopping import StopRequest


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option("--wait", is_flag=True, help="Wait for a run that is working on the node.")
@progress_option
@pass_app
@click.pass_context
def manifest(ctx: click.Context, app: App, name: str, wait: bool, progress: ProgressForm) -> None:
    """The manifest is the file .alpenhorn/manifest.md5 below the node's root.  It lists the path, length and MD5 sum of
    each good copy.  On any machine md5sum -c can check the files with it, without the index, and alpenhorn db
    rebuild can fill a new index from it.  Runs keep a manifest on every node, except on nodes with
    tape, and use it to detect changes to a node that was away; this command writes it now.  It must run
    on the node's host.  If the copies of the node are objects, so is the manifest.

    \b
    Example:
      alpenhorn node manifest archive1
    """
    with monitored(app, "node manifest", whole=False) as monitored_run:
        with display(app, progress) as watcher, workers(app, None, for_run=True) as pool:
            asked = Asked((name,), wait=wait, manifest=True)
            with StopRequest(pool.wakeup) as stopping, closing(watcher):
                watcher.step("opening the index")
                report = sync(app.index, pool, app.config, asked, watcher, app.now, stopping)
            monitored_run.report = report
            if name in report.left_out:
                raise Refused(f"{left_out_reason(name, report.left_out[name])}; no manifest was written")
            node = topology.load(app.index).named([name])[0]
        with recording_output_failure(app, report):
            if name in report.manifests:
                files, size_b = report.manifests[name]
                wrote = (
                    f"Wrote {node.where}/{MANIFEST}: {output.count(files, 'file')}, {output.size(size_b)}."
                )
                if node.where != node.root:  # the object of that name
                    output.line(wrote)
                else:
                    output.line(f"{wrote} To check the files:")
                    output.line(f"  cd {shlex.quote(node.root or '')} && md5sum --quiet -c {MANIFEST}")
            attention(report, app)
    ctx.exit(report.exit_status)
