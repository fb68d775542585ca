"""What all commands share: where the broker is, which form the answer takes, and how errors end the program.

It opens engines for the commands and turns every error into one sentence and an exit code that scripts can trust. It
knows no command.
"""

import inspect
import os
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from isthmus.cli.output import Output
from isthmus.errors import (
    EngineError,
    InvariantError,
    IsthmusError,
    NotAStore,
    ProtocolError,
    RequestError,
    StorageError,
)

if TYPE_CHECKING:
    from isthmus.engines.base import Engine

T = TypeVar("T")

URL_VARIABLE: Final = "ISTHMUS_URL"
FORMAT_FILE: Final = "FORMAT"
"""Its presence tells a data directory from any other."""

EXIT_FOUND: Final = 1
"""The check ran and found something."""
EXIT_USAGE: Final = 2
EXIT_REFUSED: Final = 3
"""`RequestError`: what was asked for cannot be; nothing was changed."""
EXIT_STORAGE: Final = 4
"""`StorageError`, or the operating system failed a file."""
EXIT_ENGINE: Final = 5
EXIT_BUG: Final = 70
"""An error that nobody foresaw, in Isthmus or in the program that it runs."""
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE: Final = 141
"""Whoever read the output has gone: what a program that SIGPIPE kills ends with."""


@dataclass(slots=True)
class Settings:
    """What the options that every command takes have said; `given` in any place of the command line."""

    url: str | None = None
    directory: str | None = None
    json: bool = False
    debug: bool = False

    @property
    def out(self) -> Output:
        """Where answers go."""
        return Output(json=self.json)

    def address(self) -> str:
        """The URL or the plain path of the broker: `--dir` or `--url`, else ISTHMUS_URL.

        Raises:
            UsageError: none of them is given, or both options are.
        """
        if self.url is not None and self.directory is not None:
            raise click.UsageError("--dir and --url both name the broker; give one of them")
        if self.directory is not None:
            return str(Path(self.directory).absolute())
        found = self.url or os.environ.get(URL_VARIABLE)
        if not found:
            raise click.UsageError(
                f"which broker? Give --dir DIRECTORY or --url URL, or set {URL_VARIABLE}, such as"
                " `isthmus --dir ./data ls`"
            )
        return found

    def store(self) -> str | None:
        """The data directory that the address names, None when it names something else."""
        address = self.address()
        if "://" not in address:
            return str(Path(address).absolute())
        scheme, _, rest = address.partition("://")
        # isthmus:///var/lib/shop is a directory, isthmus://host:port a server.
        return rest if scheme == "isthmus" and rest.startswith("/") else None

    def need_store(self, what: str) -> str:
        """The data directory. Raises UsageError when the address names something else than one."""
        found = self.store()
        if found is None:
            raise click.UsageError(f"{what} looks at the files of a data directory; {self.address()} is none")
        return found


pass_settings = click.make_pass_decorator(Settings, ensure=True)

# ---- options that every command takes ------------------------------------------------------------------------------


def _note(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: object) -> None:
        if value:
            setattr(context.ensure_object(Settings), name, value)

    return callback


def common_options() -> list[click.Parameter]:
    """The options `--dir`, `--url`, `--json` and `--debug`; they may stand before or behind the command's name."""
    options: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("--dir", "directory", {"metavar": "DIR", "help": "Data directory of an embedded broker."}),
        ("--url", "url", {"metavar": "URL", "help": f"Address of the broker. [env: {URL_VARIABLE}]"}),
        ("--json", "json", {"is_flag": True, "help": "Answer for machines: JSON, or JSON lines for streams."}),
        ("--debug", "debug", {"is_flag": True, "help": "Show where an error came from."}),
    )
    return [
        click.Option([flag, name], expose_value=False, callback=_note(name), **more) for flag, name, more in options
    ]


def laid_out(text: str | None) -> str | None:
    """A help text whose paragraphs with indented lines, such as examples, are kept as they are written."""
    if text is None:
        return None
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{each}" if "\n " in each else each for each in paragraphs)


class Command(click.Command):
    """A command with the common options."""

    def __init__(
        self,
        name: str | None,
        *,
        params: Sequence[click.Parameter] = (),
        help: str | None = None,  # noqa: A002 - as click calls it
        **more: Any,
    ) -> None:
        super().__init__(name, params=[*params, *common_options()], help=laid_out(help), **more)


class Group(click.Group):
    """A group of such commands, with the same options."""

    command_class = Command

    def __init__(
        self,
        name: str | None = None,
        *,
        params: Sequence[click.Parameter] = (),
        help: str | None = None,  # noqa: A002 - as click calls it
        **more: Any,
    ) -> None:
        super().__init__(name, params=[*params, *common_options()], help=laid_out(help), **more)


def command(name: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function."""
    return click.command(name, cls=Command)


def group(name: str) -> Callable[[Callable[..., Any]], Group]:
    """Make a group of a function."""
    return click.group(name, cls=Group)


def confirmed(question: str, *, yes: bool) -> None:
    """Go on when the person at the terminal says so or has said so before with --yes.

    Raises:
        UsageError: nobody is there to be asked.
        Exit: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: say so with --yes")
    if not click.confirm(question, err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(EXIT_REFUSED)


# ---- engines -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connected(settings: Settings, *, write: bool = False, create: bool = False) -> "AsyncGenerator[Engine]":
    """The engine that the address names, open for the time of the block.

    Reading commands open a data directory without its lock and so work beside whoever holds it. Only what makes
    things may make the directory: a typing error in a path must not leave a store behind.

    Raises:
        NotAStore: the directory holds no store, and none is to be made.
        DirectoryInUse: another process holds it, and `write` is asked for.
    """
    from isthmus.engines.connect import open_engine

    store = settings.store()
    if store is not None and not create:
        _check_store(store)
    engine = await open_engine(settings.address(), read_only=store is not None and not write)
    try:
        await engine.start()
        _warn(engine, settings.out)
        yield engine
    finally:
        await engine.close()


def _warn(engine: "Engine", out: Output) -> None:
    """A damaged store can be read as far as it goes; whoever reads it must know."""
    from isthmus.engines.embedded import EmbeddedEngine

    if isinstance(engine, EmbeddedEngine) and engine.broker.journal.damage:
        out.note("this store is damaged, so something is missing here; see `isthmus log verify`")


def _check_store(directory: str) -> None:
    if not Path(directory, FORMAT_FILE).exists():
        there = Path(directory).is_dir()
        raise NotAStore(directory, "it holds no store" if there else "there is no such directory")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    import asyncio

    return asyncio.run(work)


def run_fast(work: Coroutine[Any, Any, T]) -> T:
    """The same for what runs long: on uvloop where it is installed."""
    import asyncio

    from isthmus.cli.run import fast_loop

    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        return runner.run(work)


# ---- errors --------------------------------------------------------------------------------------------------------


class ProgramFailed(click.ClickException):
    """The user's own program failed; its traceback has been shown."""


def exit_code(error: BaseException) -> int:
    """What the process ends with after an error."""
    match error:
        case click.UsageError():
            return EXIT_USAGE
        case click.Abort() | KeyboardInterrupt():
            return EXIT_INTERRUPTED
        case BrokenPipeError():
            return EXIT_PIPE
        case RequestError():
            return EXIT_REFUSED
        case StorageError() | OSError():
            return EXIT_STORAGE
        case EngineError() | ProtocolError():
            return EXIT_ENGINE
        case click.ClickException() if not isinstance(error, ProgramFailed):
            return EXIT_USAGE
        case _:
            return EXIT_BUG


def sentence(error: BaseException) -> str:
    """What is said of an error."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    if isinstance(error, IsthmusError) and not isinstance(error, InvariantError):
        return str(error)
    return f"this is a bug in Isthmus, please report it: {type(error).__name__}: {error}"


def report(error: BaseException, settings: Settings) -> int:
    """Say on stderr what happened and return the exit code. Silent for an interrupt and a reader that has gone."""
    code = exit_code(error)
    if code == EXIT_PIPE:
        _drop_output()
        return code
    if code == EXIT_INTERRUPTED:
        return code
    if settings.debug or (code == EXIT_BUG and not isinstance(error, ProgramFailed)):
        traceback.print_exception(error, file=sys.stderr)
    out = settings.out
    if settings.json:
        out.error_document(error_fields(error, code))
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)  # the whole help, for who has typed the name alone
    else:
        out.error(sentence(error) + _hint(error))
    return code


def _hint(error: BaseException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see `{context.command_path} --help`)" if context is not None else ""


def error_fields(error: BaseException, code: int) -> dict[str, Any]:
    """An error for machines: its class, its sentence, the exit code, and the fields that the class has."""
    found: dict[str, Any] = {"type": type(error).__name__, "message": sentence(error), "exit_code": code}
    if isinstance(error, IsthmusError):
        plain = {name: value for name, value in vars(error).items() if not name.startswith("_")}
        found |= {name: value for name, value in plain.items() if isinstance(value, str | int | float | tuple | None)}
    return found


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere, or it would complain about the pipe again."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # a test's stdout has none
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
