"""Commands and parameter types that answer wrong usage with the right form.

Such usage ends with status 2, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import click

from alpenhorn.cli.app import App
from alpenhorn.cli.complete import GROUP, NODE, ExistingName
from alpenhorn.errors import NotFound
from alpenhorn.suggestions import did_you_mean

FILE = "FILE"  # the metavar of an argument
TYPED = "alpenhorn.typed"  # in the `meta` of a context: the words after the command's name


class RightForm(NamedTuple):
    """What surplus arguments were probably meant for, such as "to work on one node", and the options for that."""

    purpose: str
    options: Sequence[str]


class HintingCommand(click.Command):
    """A command that answers surplus arguments, lists of names with commas, and a node and a group, or a file and a
    node, in the wrong order with the right form.

    `right_form` returns the form for the surplus arguments and the parsed parameters; None if it knows none.
    """

    allow_extra_args = True  # so that click leaves surplus arguments to parse_args

    def __init__(
        self,
        *args: Any,
        right_form: Callable[[Sequence[str], dict[str, Any]], RightForm | None] = lambda surplus, given: None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.right_form = right_form

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = list(args)
        ctx.meta[TYPED] = typed
        surplus = super().parse_args(ctx, args)
        if surplus and not ctx.resilient_parsing:
            self._refuse(ctx, typed, surplus)
        return surplus

    def _refuse(self, ctx: click.Context, typed: Sequence[str], surplus: Sequence[str]) -> None:
        arguments = [one.human_readable_name for one in self.params if isinstance(one, click.Argument)]
        after = f" after {arguments[-1]}" if arguments else ""
        message = f"no argument is expected{after}: {', '.join(map(repr, surplus))}"
        form = self.right_form(surplus, ctx.params)
        if form is not None:
            # The options typed are kept: without a --dry-run, for example, the printed command would do more.
            kept = self._without_surplus(ctx, typed)
            end = kept.index("--") if "--" in kept else len(kept)  # no option is recognised after it
            words = [*ctx.command_path.split(), *kept[:end], *form.options, *kept[end:]]
            message += f"; {form.purpose}: {_typed(words)}"
        ctx.fail(message)

    def _without_surplus(self, ctx: click.Context, typed: Sequence[str]) -> list[str]:
        """Return the words typed without the surplus arguments, which may be equal to the value of an option."""
        marked = [_Word(word) for word in typed]
        _, surplus, _ = self.make_parser(ctx).parse_args(list(marked))
        return [str(word) for word in marked if not any(word is one for one in surplus)]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NotFound as error:
            # Only now, because a comma is allowed in a name, and a node and a group may have the same name.
            hint = self._about_commas(ctx, str(error)) or self._about_order(ctx) or self._about_file(ctx)
            if hint:
                ctx.fail(hint)
            raise

    def _about_commas(self, ctx: click.Context, message: str) -> str:
        """Return advice if an unknown name is a list of names with commas, else ""."""
        for param in self.params:
            if isinstance(param, click.Option) and param.multiple and isinstance(param.type, ExistingName):
                for value in ctx.params[str(param.name)]:
                    unknown = f"no {param.type.name} called {value!r}"
                    if "," in value and _split(value) and message.startswith(f"{unknown};"):
                        return f"{unknown}; {_one_each(param, value)}"
        return ""

    def _about_order(self, ctx: click.Context) -> str:
        """Return advice if the arguments NODE and GROUP name a group and a node, else ""."""
        ends = {
            one.type.name: str(one.name)
            for one in self.params
            if isinstance(one, click.Argument) and isinstance(one.type, ExistingName)
        }
        if ends.keys() != {NODE.name, GROUP.name}:
            return ""
        node, group = ctx.params[ends[NODE.name]], ctx.params[ends[GROUP.name]]
        if not node or not group:
            return ""
        from alpenhorn.scan import names  # 35 ms, and only a wrong name needs it

        index = ctx.ensure_object(App).index
        try:
            names.node(index, group)
            names.group(index, node)
        except NotFound:
            return ""
        command = self._exchanged(ctx, ends[NODE.name], ends[GROUP.name])
        return f"arguments in the wrong order: {group!r} is a node and {node!r} is a group; use: {command}"

    def _about_file(self, ctx: click.Context) -> str:
        """Return advice if the arguments FILE and NODE name a node and something that may be a file, else ""."""
        nodes = [one for one in self.params if isinstance(one, click.Argument) and one.type is NODE]
        files = [one for one in self.params if isinstance(one, click.Argument) and one.metavar == FILE]
        if len(nodes) != 1 or len(files) != 1:
            return ""
        ends = str(files[0].name), str(nodes[0].name)
        path, node = (ctx.params[end] for end in ends)
        if "/" not in node:
            return ""
        from alpenhorn.scan import names  # 35 ms, and only a wrong name needs it

        index = ctx.ensure_object(App).index
        try:
            names.node(index, path)
        except NotFound:
            return ""
        command = self._exchanged(ctx, *ends)
        return f"arguments in the wrong order: {path!r} is a node; use: {command}"

    def _exchanged(self, ctx: click.Context, one: str, other: str) -> str:
        """Return the command as it was typed, with two arguments exchanged."""
        words = [_Word(word) for word in ctx.meta[TYPED]]
        given, _, _ = self.make_parser(ctx).parse_args(list(words))
        instead = {id(given[one]): ctx.params[other], id(given[other]): ctx.params[one]}
        return _typed([*ctx.command_path.split(), *(instead.get(id(word), word) for word in words)])


class _Word(str):
    """A word typed by the user, compared by its identity."""


class HintingChoice(click.Choice[str]):
    """A choice that suggests the value meant by a mistyped one, or by a list with commas."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            text = str(value)
            listed = set(_split(text))
            if isinstance(param, click.Option) and param.multiple and listed and listed <= set(self.choices):
                hint = _one_each(param, text)
            else:
                hint = did_you_mean(text, self.choices)
            if hint:
                raise click.BadParameter(f"{error.message.removesuffix('.')}; {hint}", ctx, param) from None
            raise


def _split(value: str) -> list[str]:
    return [name for name in map(str.strip, value.split(",")) if name]


def _typed(words: Iterable[str]) -> str:
    """Return words as they are typed in a shell."""
    import shlex  # 4 ms with shutil, and only after a mistake

    return shlex.join(words)


def _one_each(option: click.Option, value: str) -> str:
    """Return advice to repeat an option instead of giving it names with commas between them."""
    name = option.opts[0]
    words = [word for one in _split(value) for word in (name, one)]
    return f"give {name} for each: {_typed(words)}"


def nodes_form(surplus: Sequence[str], given: dict[str, Any]) -> RightForm:
    """Return the form for names of nodes given to a command with the repeatable option --node."""
    purpose = "to work on one node" if len(surplus) == 1 else "to work on these nodes"
    return RightForm(purpose, [word for name in surplus for word in ("--node", name)])
