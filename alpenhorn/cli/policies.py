"""Options and columns for the commands on policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from alpenhorn import formats
from alpenhorn.cli.app import App, CommandFunction
from alpenhorn.cli.arguments import MOST_COUNT, Text
from alpenhorn.cli.columns import column, number
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.options import chosen
from alpenhorn.cli.times import Duration
from alpenhorn.edits.policies import PolicyLists
from alpenhorn.model.policies import DEFAULT, MOST_AGE, Policy
from alpenhorn.scan import names

MOST_COPIES = 100
NO_POLICIES = "No policies; to create one: alpenhorn policy create NAME --copies 2"


def shown_acqs(policy: Policy) -> str:
    if policy.name == DEFAULT:
        return "no other policy"
    return ", ".join(policy.acqs) or "all"


def _names(policy: Policy, ids: Sequence[int]) -> list[str]:
    return [policy.group_names[id] for id in ids]


def member_names(policy: Policy) -> list[str]:
    return sorted(_names(policy, list(policy.groups)))


def required_names(policy: Policy) -> list[str]:
    return _names(policy, policy.required)


COLUMNS = (
    column("name", "Name"),
    number("copies", "Copies"),
    number("sites", "Sites"),
    column("acqs", "Acquisitions", value=lambda policy: list(policy.acqs), cell=shown_acqs),
    column(
        "groups", "Groups", value=member_names, cell=lambda policy: ", ".join(member_names(policy)) or "all"
    ),
    column(
        "required",
        "Required groups",
        value=required_names,
        cell=lambda policy: ", ".join(required_names(policy)),
    ),
    number("min_age_s", "Min age", "min_age", shown=formats.age),
    number("priority", "Priority"),
)


def _min_age(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and value > MOST_AGE:
        raise click.BadParameter("longer than 100 years", ctx, param)
    return value


def copies_option(required: bool = False) -> Callable[[CommandFunction], CommandFunction]:
    return click.option(
        "--copies",
        type=click.IntRange(1, MOST_COPIES),
        metavar="N",
        required=required,
        help="Number of good copies on archive nodes.",
    )


def policy_options(command: CommandFunction) -> CommandFunction:
    """Add the options for the properties of a policy, except the number of copies."""
    for decorate in (
        click.option(
            "--priority",
            type=click.IntRange(-MOST_COUNT, MOST_COUNT),
            metavar="N",
            help="Priority of its requests.",
        ),
        click.option(
            "--min-age",
            type=Duration(),
            callback=_min_age,
            metavar="AGE",
            help="Time since a file was registered before copies of it are requested, such as 1d.",
        ),
        click.option(
            "--require",
            "required",
            type=GROUP,
            metavar="GROUP",
            multiple=True,
            help="Group that must have a copy of each file; may be repeated; '' for none.",
        ),
        click.option(
            "--acq",
            "acqs",
            type=Text(255),
            metavar="PATTERN",
            multiple=True,
            help="Names of acquisitions whose files it applies to, such as '2026*'; may be repeated; '' for all.",
        ),
        click.option(
            "--group",
            "groups",
            type=GROUP,
            metavar="GROUP",
            multiple=True,
            help="Group whose copies count, and into which copies are requested; may be repeated; '' for all.",
        ),
        click.option(
            "--sites",
            type=click.IntRange(1, MOST_COPIES),
            metavar="N",
            help="Number of sites that the copies are at, at least.",
        ),
    ):
        command = decorate(command)
    return command


def edited(
    app: App,
    *,
    copies: int | None,
    sites: int | None,
    groups: Sequence[str],
    acqs: Sequence[str],
    required: Sequence[str],
    min_age: float | None,
    priority: int | None,
) -> tuple[dict[str, Any], PolicyLists]:
    """Return the columns and lists to set for the given options.  Raises NotFound for an unknown group."""
    values = chosen(
        copies=copies, sites=sites, min_age=None if min_age is None else round(min_age), priority=priority
    )
    lists = PolicyLists(
        [pattern for pattern in acqs if pattern] if acqs else None, _ids(app, groups), _ids(app, required)
    )
    return values, lists


def _ids(app: App, given: Sequence[str]) -> list[int] | None:
    return [group.id for group in names.groups(app.index, filter(None, given))] if given else None
