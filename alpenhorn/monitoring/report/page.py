"""The page of the report: charts and texts for the template."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.resources import files
from itertools import pairwise

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from alpenhorn import __version__, formats
from alpenhorn.index.times import ago
from alpenhorn.listings import trends
from alpenhorn.listings.stats import FileTally
from alpenhorn.monitoring.attention import by_kind
from alpenhorn.monitoring.report import data as content
from alpenhorn.monitoring.report.charts import BarChart, ChartSeries, svg
from alpenhorn.monitoring.report.data import ReportData, ReportNode
from alpenhorn.monitoring.report.forecast import FARTHEST
from alpenhorn.outside import harmless
from alpenhorn.reasons import Code

KIND_COLOURS = {"import": "good", "pull": "work", "check": "extra", "delete": "warn", trends.OTHER: "other"}
KIND_WORDS = {
    "import": "imported",
    "pull": "pulled",
    "check": "checked",
    "delete": "deleted",
    trends.OTHER: "other work",
}


def render(data: ReportData, seconds: float) -> str:
    """Return the page.  `seconds`: how long it took to read the data."""
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": formats.size,
        "percent": formats.percent,
        "time": formats.time,
        "minute": lambda moment: formats.time(moment)[:16],
        "day": _day,
        "number": _number,
        "files": lambda number: f"{_number(number)} {'file' if number == 1 else 'files'}",
        "growth": _growth,
        "clock": formats.clock,
        "code": _code,
    }
    charts = _charts(data)
    return (
        environment.get_template("page.html")
        .render(
            data=data,
            version=__version__,
            seconds=f"{seconds:.1f} s",
            style=Markup(_source("page.css")),
            charts={name: _drawn(chart) for name, chart in charts.items()},
            groups=by_kind(data.items),
            states=content.STATES,
            bad_states=content.BAD,
            kinds=[kind for kind in KIND_WORDS if any(kind in day.done for day in data.days)],
            kind_words=KIND_WORDS,
            age_words=_age_words(),
            growth_weeks=content.GROWTH_WEEKS,
            weeks=content.WEEKS,
            days=content.DAYS,
            measured=ago(data.measured),
            full=_full,
        )
        .lstrip()
    )


def _source(name: str) -> str:
    return (files("alpenhorn") / "monitoring" / "report" / name).read_text(encoding="utf-8")


def _printable(value: object) -> object:
    """Escape the characters of names and messages that would hide or turn other text; markup is left as it is."""
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(chart: BarChart) -> Markup | None:
    """Return both sizes of a chart, of which the page shows one; None if all its values are 0."""
    if not any(any(one.values) for one in chart.series):
        return None
    wide, narrow = svg(chart, narrow=False), svg(chart, narrow=True)
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')


def _charts(data: ReportData) -> dict[str, BarChart]:
    states = {state: tally for state, tally in data.states.items() if tally.files or state == "Healthy"}
    copies = range(max((*data.policy.by_copies, data.policy.required)) + 1)
    days = [f"{day.day.day} {day.day:%b}" for day in data.days]
    kinds = [kind for kind in ("import", "pull", "check", trends.OTHER) if any(_bytes_of(data, kind))]
    every = (
        BarChart(
            "states",
            f"Bar chart of the copies on all nodes by state: {_sentence(states)}. The table has the numbers by node.",
            list(states),
            [ChartSeries("copies", "work", [tally.files for tally in states.values()])],
            flat=True,
        ),
        BarChart(
            "policy",
            "Bar chart of the files by number of good archive copies. The table has the same numbers.",
            [formats.count(number, "copy", "copies") for number in copies],
            [ChartSeries("files", "work", [_files(data, number) for number in copies])],
            flat=True,
        ),
        BarChart(
            "growth",
            "Bar chart of the bytes that were added to all nodes and removed from them in each week."
            " The table has the same numbers.",
            [f"{week.began.day} {week.began:%b}" for week in data.weeks],
            [
                ChartSeries("added", "good", [week.added.bytes for week in data.weeks]),
                ChartSeries("removed", "warn", [-week.removed.bytes for week in data.weeks]),
            ],
            sizes=True,
        ),
        BarChart(
            "throughput",
            "Bar chart of the bytes that runs worked on each day, by kind of work. The table has the same numbers.",
            days,
            [ChartSeries(KIND_WORDS[kind], KIND_COLOURS[kind], _bytes_of(data, kind)) for kind in kinds],
            sizes=True,
        ),
        BarChart(
            "failed",
            "Bar chart of the files whose work failed on each day. The table under Throughput has the same numbers.",
            days,
            [ChartSeries("failed", "bad", [day.failed for day in data.days])],
        ),
        BarChart(
            "ages",
            "Bar chart of the good copies by the time since they were last read in full."
            " The table has the numbers by node.",
            _age_words(),
            [ChartSeries("copies", "work", data.ages or [0])],
            flat=True,
        ),
    )
    return {chart.name: chart for chart in every}


def _bytes_of(data: ReportData, kind: str) -> list[float]:
    return [day.done[kind].bytes if kind in day.done else 0 for day in data.days]


def _files(data: ReportData, copies: int) -> int:
    tally = data.policy.by_copies.get(copies)
    return 0 if tally is None else tally.files


def _sentence(states: dict[str, FileTally]) -> str:
    return ", ".join(f"{tally.files} {state.lower()}" for state, tally in states.items())


def _age_words() -> list[str]:
    spans = [_span(age) for age in content.AGES]
    between = [f"{younger} to {older}" for younger, older in pairwise(spans)]
    return [f"up to {spans[0]}", *between, f"over {spans[-1]}", "never"]


def _span(age: timedelta) -> str:
    years, rest = divmod(age.days, 365)
    return formats.count(age.days, "day") if rest else formats.count(years, "year")


def _full(node: ReportNode, now: datetime) -> str:
    """Say when a node will be full."""
    if node.room_b is None:
        return "unknown: no free space"
    if node.room_b == 0:
        return "full now"
    if node.full_on is not None:
        return f"{_day(node.full_on)} (in {ago(node.full_on - now)})"
    if node.growth_b is None:
        return "unknown: too short a history"
    return f"not within {FARTHEST.days // 365} years" if node.growth_b > 0 else "does not grow"


def _growth(bytes_: float | None) -> str:
    """Format bytes a day as bytes a week, with a sign; `-` if unknown."""
    if bytes_ is None:
        return "-"
    week = bytes_ * 7
    return f"{'+' if week > 0 else ''}{formats.size(week)}"


def _number(number: int) -> str:
    return f"{number:,}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _code(code: str | None) -> str:
    return code or str(Code.UNKNOWN)
