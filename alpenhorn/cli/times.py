"""Parameter types for times and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from alpenhorn.cli.app import App
from alpenhorn.config import parse_duration


class Duration(click.ParamType[float]):
    """Seconds, as `90s`, `50m`, `2h`, `1d` or a plain number."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value if isinstance(value, int | float) else str(value))
        except ValueError:
            self.fail(
                f"{value!r}: not a duration; give a number of seconds, or for example 90s, 50m, 2h",
                param,
                ctx,
            )


class TimeOrDuration(click.ParamType["datetime | timedelta"]):
    """A time in naive UTC, given as an ISO 8601 date or date and time; or a duration, such as `30d`.

    A time without a zone is in UTC, or with --local-time in local time.
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        text = str(value)
        try:
            # A unit is required, because a plain number could be a date, such as 20260801.
            if re.search(r"[smhd]\s*$", text):
                return timedelta(seconds=parse_duration(text))
            if not re.match(r"\d{4}-\d\d-\d\d", text):
                raise ValueError(text)
            moment = datetime.fromisoformat(text)
            app = ctx.find_object(App) if ctx is not None else None
            if moment.tzinfo is None and not (app is not None and app.local_time):
                return moment
            return moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            self.fail(
                f"{text[:40]!a}: not a time; give a date such as 2026-08-01 or 2026-08-01T12:00 (in UTC, unless"
                " --local-time is given), or a duration such as 30d or 12h",
                param,
                ctx,
            )


def start(app: App, since: datetime | timedelta | None) -> datetime | None:
    """Return the start of a period that ends now, given as its start or its duration; None for no start."""
    if not isinstance(since, timedelta):
        return since
    try:
        return (app.now() - since).replace(microsecond=0)
    except OverflowError:  # before year 1
        return None
