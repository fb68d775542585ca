"""`isthmus exchange`: exchanges and their bindings: add, ls, rm, bind, unbind, bindings.

It turns what was written into definitions and shows them in the same words; where events go is the broker's.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import click
import msgspec

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.definition import Binding, ExchangeDefinition, ExchangeKind, HeaderMatch, Scalar
from isthmus.views import BindingView, ExchangeView

F = TypeVar("F", bound=Callable[..., Any])


@group("exchange")
def exchange_commands() -> None:
    """Exchanges and their bindings: add, ls, rm, bind, unbind, bindings.

    Example:
      isthmus --dir ./data exchange add logs --kind topic
    """


# ---- add, ls, rm ---------------------------------------------------------------------------------------------------


@exchange_commands.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(get_args(ExchangeKind)), default="direct", help="How it routes. [direct]")
@click.option("--alternate", metavar="NAME", help="The exchange that takes what finds no way.")
@click.option("--internal", is_flag=True, help="Takes from other exchanges only.")
@click.option("--auto-remove", is_flag=True, help="Goes with the last binding from it.")
@pass_settings
def add(
    settings: Settings, name: str, *, kind: ExchangeKind, alternate: str | None, internal: bool, auto_remove: bool
) -> None:
    """Make an exchange.

    Examples:
      isthmus --dir ./data exchange add logs --kind topic
      isthmus --dir ./data exchange add orders --alternate unrouted
    """
    asked = ExchangeDefinition(name=name, kind=kind, alternate=alternate, internal=internal, auto_remove=auto_remove)
    run(_create(settings, asked))
    _tell(settings, "added", name)


async def _create(settings: Settings, asked: ExchangeDefinition) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.create_exchange(asked)


def _tell(settings: Settings, what: str, name: str) -> None:
    settings.out.document({what: name}) if settings.json else settings.out.text(f"{what} {name}")


@exchange_commands.command("ls")
@pass_settings
def ls(settings: Settings) -> None:
    """List exchanges, with the number of bindings from each and to each.

    Example:
      isthmus --dir ./data exchange ls
    """
    found = run(_exchanges(settings))
    if settings.json:
        settings.out.document({"exchanges": [as_document(each) for each in found]})
        return
    rows = [(each.name, each.kind, each.bindings, each.bound, _marks(each)) for each in found]
    settings.out.table(("exchange", "kind", ">bindings", ">bound", "is"), rows)


async def _exchanges(settings: Settings) -> list[ExchangeView]:
    async with connected(settings) as engine:
        return await engine.admin.exchanges()


def as_document(exchange: ExchangeView) -> dict[str, Any]:
    """An exchange for JSON, without what another system keeps beside it."""
    return {name: value for name, value in msgspec.structs.asdict(exchange).items() if name != "kept"}


def _marks(exchange: ExchangeView) -> str:
    marks = (
        ("" if exchange.lifetime == "durable" else f"gone with its {exchange.lifetime}"),
        ("internal" if exchange.internal else ""),
        ("gone with its last binding" if exchange.auto_remove else ""),
        ("delayed" if exchange.delayed else ""),
        (f"else to {exchange.alternate}" if exchange.alternate is not None else ""),
    )
    return ", ".join(mark for mark in marks if mark)


@exchange_commands.command("rm")
@click.argument("name")
@click.option("--if-unused", is_flag=True, help="Only when there is no binding from it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, if_unused: bool, yes: bool) -> None:
    """Remove an exchange with the bindings from it and to it.

    Example:
      isthmus --dir ./data exchange rm logs --yes
    """
    confirmed(f"Remove exchange {name} with its bindings?", yes=yes)
    run(_remove(settings, name, if_unused=if_unused))
    _tell(settings, "removed", name)


async def _remove(settings: Settings, name: str, *, if_unused: bool) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.remove_exchange(name, if_unused=if_unused)


# ---- bindings ------------------------------------------------------------------------------------------------------


def _binding_options(function: F) -> F:
    options = (
        click.argument("exchange"),
        click.argument("target"),
        click.option("--to-exchange", is_flag=True, help="TARGET is an exchange, and no stream or queue."),
        click.option("--key", default="", metavar="KEY", help="Routing key, or pattern with * and # (topic)."),
        click.option("--header", multiple=True, metavar="NAME[=VALUE]", help="Header to compare; may be repeated."),
        click.option("--any", "mode", flag_value="any", default="all", help="One of the headers is enough."),
        click.option("--with-x", is_flag=True, help="Headers that begin with x- count as well."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@exchange_commands.command("bind")
@_binding_options
@pass_settings
def bind(settings: Settings, /, **given: Any) -> None:
    """Let an exchange lead to a stream, a queue or another exchange.

    A VALUE of digits is a number, true and false are truth values, everything else is text; a header without a value
    has to be there, whatever it is.

    Examples:
      isthmus --dir ./data exchange bind logs errors --key '*.error'
      isthmus --dir ./data exchange bind reports pdf --header format=pdf --header pages
    """
    asked = _binding(**given)
    run(_bind(settings, asked))
    _tell(settings, "bound", asked.exchange)


async def _bind(settings: Settings, asked: Binding) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.bind(asked)


@exchange_commands.command("unbind")
@_binding_options
@pass_settings
def unbind(settings: Settings, /, **given: Any) -> None:
    """Take a binding back that was made with the same options.

    Example:
      isthmus --dir ./data exchange unbind logs errors --key '*.error'
    """
    asked = _binding(**given)
    run(_unbind(settings, asked))
    _tell(settings, "unbound", asked.exchange)


async def _unbind(settings: Settings, asked: Binding) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.unbind(asked)


def _binding(
    *, exchange: str, target: str, to_exchange: bool, key: str, header: Sequence[str], mode: str, with_x: bool
) -> Binding:
    match = None
    if header:
        rows = tuple(_row(text) for text in header)
        match = HeaderMatch(mode="any" if mode == "any" else "all", with_x=with_x, rows=rows)
    elif mode == "any" or with_x:
        raise click.UsageError("--any and --with-x are about headers; name them with --header")
    topic, other = ("", target) if to_exchange else (target, "")
    return Binding(exchange=exchange, topic=topic, to_exchange=other, key=key, match=match)


def _row(text: str) -> tuple[str, Scalar]:
    name, given, value = text.partition("=")
    if not given:
        return name, None
    if value in {"true", "false"}:
        return name, value == "true"
    return name, int(value) if value.isascii() and value.removeprefix("-").isdigit() else value.encode()


@exchange_commands.command("bindings")
@click.argument("exchange", required=False)
@click.option("--to", "target", metavar="NAME", help="Only those to this stream, queue or exchange.")
@pass_settings
def bindings(settings: Settings, exchange: str | None, target: str | None) -> None:
    """List bindings: all, those from EXCHANGE, or those to a target.

    Examples:
      isthmus --dir ./data exchange bindings logs
      isthmus --dir ./data exchange bindings --to errors
    """
    found = run(_bindings(settings, exchange, target))
    if settings.json:
        settings.out.document({"bindings": [binding_document(each) for each in found]})
        return
    rows = [
        (each.exchange, each.topic or f"exchange {each.to_exchange}", each.key, _match_text(each.match))
        for each in found
    ]
    settings.out.table(("exchange", "to", "key", "headers"), rows)


async def _bindings(settings: Settings, exchange: str | None, target: str | None) -> list[BindingView]:
    async with connected(settings) as engine:
        return await engine.admin.bindings(exchange, target)


def binding_document(binding: BindingView) -> dict[str, Any]:
    """A binding for JSON: text of headers as text, without what another system keeps beside it."""
    match = binding.match
    return {
        "exchange": binding.exchange,
        "topic": binding.topic or None,
        "to_exchange": binding.to_exchange or None,
        "key": binding.key,
        "match": None
        if match is None
        else {
            "mode": match.mode,
            "with_x": match.with_x,
            "headers": {name: _plain(value) for name, value in match.rows},
        },
    }


def _plain(value: Scalar) -> str | float | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _match_text(match: HeaderMatch | None) -> str:
    if match is None:
        return ""
    rows = [name if value is None else f"{name}={_plain(value)}" for name, value in match.rows]
    return f"{match.mode}{' with x-' if match.with_x else ''}: {', '.join(rows)}"
