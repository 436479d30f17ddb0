"""`alpenhorn metrics`: metrics for Prometheus, alert rules, and a dashboard."""

from __future__ import annotations

from importlib.resources import files

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.long_work import LongWork
from alpenhorn.monitoring.metrics import text as current

ALERT_RULES = "alert-rules.yml"
DASHBOARD = "dashboard.json"


@click.command()
@click.option(
    "--alert-rules",
    "shown",
    flag_value=ALERT_RULES,
    help="Print alert rules for Prometheus, in YAML, instead.",
)
@click.option(
    "--dashboard", "shown", flag_value=DASHBOARD, help="Print a dashboard for Grafana, in JSON, instead."
)
@pass_app
def metrics(app: App, shown: str | None) -> None:
    """The metrics describe the archive as the index knows it now.  Those of the runs on this host (their last
    success, duration and exit status, and counters of files and bytes) come from the file of [metrics] textfile
    in the configuration, which every run replaces; without it they are left out.

    \b
    Examples:
      alpenhorn metrics
      alpenhorn metrics --alert-rules > /etc/prometheus/alpenhorn.yml
      alpenhorn metrics --dashboard > alpenhorn.json       (to be imported in Grafana)
    """
    if shown is not None:
        text = (files("alpenhorn") / "monitoring" / "prometheus" / shown).read_text(encoding="utf-8")
    else:
        with LongWork(app, "Reading the index for the metrics"):
            text = current(app.config, app.index, app.now())
    click.echo(text, nl=False)
