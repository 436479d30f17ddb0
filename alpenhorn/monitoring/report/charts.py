"""Charts of the report: SVG by matplotlib, to be embedded in the page.

Colours are CSS variables of the page (`--chart-NAME`, and `currentColor` for text), so that they follow its light or
dark scheme.  Text stays text.  Each chart is drawn twice, because the text in a wide one is too small on a telephone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from math import log
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from alpenhorn.formats import UNITS

# Colours that matplotlib draws with, and what replaces them.
TEXT, GRID = "#010101", "#020202"
COLOURS = ("good", "work", "extra", "warn", "bad", "other")
_INK = {name: f"#0303{number:02x}" for number, name in enumerate(COLOURS, 1)}
_CSS = {TEXT: "currentColor", GRID: "var(--chart-grid)"} | {
    ink: f"var(--chart-{name})" for name, ink in _INK.items()
}
WIDE, NARROW = (7.6, 2.7), (3.7, 2.7)  # inches of 72 units in the SVG
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; the page sets the font that is shown
    "font.size": 11,
    "text.parse_math": False,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.linewidth": 1,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
}


@dataclass(frozen=True)
class ChartSeries:
    """The bars of one colour (one of COLOURS); a negative value is drawn below the axis."""

    name: str
    colour: str
    values: Sequence[float]


@dataclass(frozen=True)
class BarChart:
    """A chart of stacked bars.

    `name`: unique on the page; `said`: what it shows, for those who do not see it.  `sizes`: the values are bytes,
    not numbers.  `flat`: bars grow to the right, each with its value; for few bars.
    """

    name: str
    said: str
    labels: Sequence[str]
    series: Sequence[ChartSeries]
    sizes: bool = False
    flat: bool = False


def svg(chart: BarChart, narrow: bool) -> str:
    """Draw a chart, and return it as an element `svg`, whose text alternative is `said`."""
    # Not what the user's own configuration of matplotlib says.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        # Names of parts within the drawing are computed from it; they must differ on the page.
        matplotlib.rcParams["svg.hashsalt"] = f"{chart.name}-{narrow}"
        width, height = NARROW if narrow else WIDE
        if chart.flat:
            height = 0.5 + 0.34 * len(chart.labels)
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        (_flat if chart.flat else _upright)(axes, chart, narrow)
        out = StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _embedded(out.getvalue(), chart.said)


def _upright(axes: Axes, chart: BarChart, narrow: bool) -> None:
    factor, unit = _scale(chart)
    places = range(len(chart.labels))
    above, below = [0.0] * len(places), [0.0] * len(places)
    for one in chart.series:
        values = [value / factor for value in one.values]
        bottoms = [above[at] if values[at] >= 0 else below[at] for at in places]
        axes.bar(places, values, 0.8, bottoms, color=_INK[one.colour], label=one.name)
        for at in places:
            (above if values[at] >= 0 else below)[at] += values[at]
    few = 4 if narrow else 8
    every = max(1, -(-len(places) // few))
    # The last one is always labelled.
    shown = [at for at in places if (len(places) - 1 - at) % every == 0]
    axes.set_xticks(shown, labels=[chart.labels[at] for at in shown])
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=not chart.sizes))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.10g}{unit}"))
    axes.grid(axis="y")
    if any(below):
        axes.axhline(0, color=TEXT, linewidth=1)
    if len(chart.series) > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=2 if narrow and len(chart.series) > 3 else len(chart.series),
            handlelength=1,
            handleheight=1,
            columnspacing=1,
            handletextpad=0.4,
            borderaxespad=0.2,
        )


def _flat(axes: Axes, chart: BarChart, narrow: bool) -> None:
    (one,) = chart.series
    places = range(len(chart.labels))
    bars = axes.barh(places, one.values, 0.7, color=[_INK[one.colour]] * len(places))
    axes.bar_label(bars, [f"{value:,.0f}" for value in one.values], padding=4)
    axes.set_yticks(places, labels=list(chart.labels))
    axes.invert_yaxis()
    axes.set_xlim(0, max(*one.values, 1) * (1.35 if narrow else 1.15))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _scale(chart: BarChart) -> tuple[float, str]:
    """Return the factor by which the values are divided, and the unit of the result with a space before it."""
    if not chart.sizes:
        return 1, ""
    sums = [sum(abs(one.values[at]) for one in chart.series) for at in range(len(chart.labels))]
    power = min(len(UNITS) - 1, int(log(max(*sums, 1), 1024)))
    return float(1024**power), f" {UNITS[power]}"


def _embedded(text: str, said: str) -> str:
    """Return the element `svg` of a document, without what means something to a whole page only."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    # These names repeat in each drawing, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for ink, css in _CSS.items():
        text = text.replace(ink, css)
    # The page sets the size.
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    head = f'<svg role="img" aria-label="{escape(said)}" {box[0]}>'
    return head + text[text.index(">") + 1 :].strip()
