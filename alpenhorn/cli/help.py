"""`alpenhorn help`: show the pages of the manual, and the help of commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.resources import files

import click
from click.shell_completion import CompletionItem

from alpenhorn.suggestions import did_you_mean

LISTED = re.compile(r"- \[[^]]+\]\((?P<topic>[a-z-]+)\.md\): (?P<summary>.+)")
LINK = re.compile(r"\[(?P<text>[^]]+)\]\((?P<topic>[a-z-]+)\.md(?:#[\w-]+)?\)")
ANCHOR = re.compile(r"\[(?P<text>[^]]+)\]\(#[\w-]+\)")


def page(topic: str) -> str:
    """Return the text of a page in Markdown."""
    return (files("alpenhorn") / "docs" / f"{topic}.md").read_text(encoding="utf-8")


def topics() -> dict[str, str]:
    """Return the topics in the order of the index page, with their summaries."""
    found = {match["topic"]: match["summary"] for match in LISTED.finditer(page("index"))}
    return {**found, "index": "the list of all pages"}


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    words = list(ctx.params.get("words") or ())
    found = _command(ctx, words)
    names = _names(found[0], found[1]) if found else []
    if not words:
        names = [*topics(), *names]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("words", metavar="[TOPIC]", nargs=-1, shell_complete=_complete)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Without TOPIC, list the topics.  On a terminal a page is formatted and shown in a pager; otherwise it is
    printed as Markdown.

    \b
    Examples:
      alpenhorn help
      alpenhorn help configuration
      alpenhorn help node clean
    """
    if not words:
        _list(ctx)
    elif len(words) == 1 and words[0] in topics():
        _show(page(words[0]))
    elif found := _command(ctx, words):
        command, context = found
        click.echo(command.get_help(context))
    else:
        ctx.fail(
            f"no topic or command called {' '.join(words)!r}; {_suggestion(ctx, words) or 'see: alpenhorn help'}"
        )


def _list(ctx: click.Context) -> None:
    formatter = ctx.make_formatter()
    with formatter.section("Topics"):
        formatter.write_dl(list(topics().items()))
    formatter.write_paragraph()
    formatter.write_text("To show a page: alpenhorn help TOPIC")
    formatter.write_text("To show the help of a command: alpenhorn help COMMAND")
    click.echo(formatter.getvalue().rstrip("\n"))


def _command(ctx: click.Context, words: Sequence[str]) -> tuple[click.Command, click.Context] | None:
    """Return the command with this path, and a context in which its help shows the path."""
    context = ctx.find_root()
    command: click.Command = context.command
    for word in words:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            return None
        command = found
        context = click.Context(command, context, word, **command.context_settings)
    return command, context


def _names(command: click.Command, context: click.Context) -> list[str]:
    return command.list_commands(context) if isinstance(command, click.Group) else []


def _suggestion(ctx: click.Context, words: Sequence[str]) -> str:
    """Return a question with the topics and commands that are similar to the words; "" if there are none."""
    known = list(topics())
    for number in range(len(words)):
        if found := _command(ctx, words[:number]):
            known += [" ".join([*words[:number], name]) for name in _names(*found)]
    return did_you_mean(" ".join(words), known)


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        click.echo(text.rstrip("\n"))
        return
    from alpenhorn.cli.markdown import formatted  # 57 ms with rich, and only terminals need it

    text = LINK.sub(r"\g<text> (`alpenhorn help \g<topic>`)", ANCHOR.sub(r"\g<text>", text))
    click.echo_via_pager(formatted(text))
