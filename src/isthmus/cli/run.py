"""`isthmus run module:app`: import an app from the working directory and run it until a signal says stop.

It finds the app and says clearly what is in the way; running and stopping is the app's own business.
"""

import asyncio
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Final

import click

from isthmus.cli.base import URL_VARIABLE, ProgramFailed, Settings, command, pass_settings, run_fast
from isthmus.errors import IsthmusError
from isthmus.limits import WORKER_PROCESSES_MAX

if TYPE_CHECKING:
    from isthmus import App

PACKAGE: Final = str(Path(__file__).parents[1])
PYTHON: Final = str(Path(traceback.__file__).parent)
CLICK: Final = str(Path(click.__file__).parent)
LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
WORKER_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

logger: Final = logging.getLogger("isthmus.workers")


@command("run")
@click.argument("target", metavar="MODULE:APP")
@click.option("--workers", type=click.IntRange(1, WORKER_PROCESSES_MAX), help="Run it in so many processes.")
@click.option("--worker", is_flag=True, hidden=True)
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@pass_settings
def run_command(settings: Settings, target: str, *, workers: int | None, worker: bool, quiet: bool) -> None:
    """Run an app until SIGTERM or Ctrl-C, then finish what runs and hand back the rest.

    MODULE is looked for in the working directory first; APP is the name of the App in it. --url and --dir take the
    place of the address that the app names. With the extra `fast` installed it runs on uvloop.

    With --workers the app runs in processes of its own, which share its groups and queues: this one holds the data
    directory, starts a worker again that dies, and stops all of them; what a lost worker had goes to the others.

    Examples:
      isthmus run shop.orders:app
      isthmus run shop.orders:app --dir ./data
      isthmus run shop.orders:app --workers 4
    """
    from isthmus.cli.workers import follow_parent

    app = load(target)
    if worker or settings.url is not None or settings.directory is not None or app.url is None:
        app.url = settings.address()
    logging.basicConfig(
        format=WORKER_FORMAT if worker else LOG_FORMAT, level=logging.WARNING if quiet else logging.INFO
    )
    if workers is not None:
        run_fast(_oversee(app.url, target, workers, quiet=quiet))
        return
    if worker:
        follow_parent()
    try:
        app.run(loop_factory=fast_loop())
    except Exception as error:
        if isinstance(error, IsthmusError) or not is_users(error):
            raise
        _show(error)
        raise ProgramFailed(f"the app failed: {type(error).__name__}: {error}") from error


async def _oversee(url: str, target: str, count: int, *, quiet: bool) -> None:
    """Hold the broker, so that it is there before the first worker and after the last, and keep the workers.

    Raises:
        UsageError: a store that other processes cannot reach.
    """
    from isthmus.cli.workers import Workers
    from isthmus.clock import SystemClock
    from isthmus.engines.connect import open_engine

    if url.startswith("memory:"):
        raise click.UsageError(f"--workers needs a broker that other processes can reach, and {url} is none")
    engine = await open_engine(url)
    try:
        await engine.start()
        more = ["--quiet"] if quiet else []
        workers = Workers(["run", target, "--worker", *more], {URL_VARIABLE: url}, count, SystemClock())
        loop = asyncio.get_running_loop()

        def caught(number: int) -> None:
            for each in SIGNALS:
                loop.remove_signal_handler(each)
            logger.warning("%s: stopping", signal.Signals(number).name)
            workers.stop()

        for each in SIGNALS:
            loop.add_signal_handler(each, caught, each)
        await workers.run()
    finally:
        await engine.close()


def fast_loop() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """How uvloop makes a loop, None where it is not installed."""
    try:
        uvloop = import_module("uvloop")  # an extra, so type checkers may not find it
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


# ---- finding the app -----------------------------------------------------------------------------------------------


def load(target: str) -> "App":
    """The app that `module:name` names, with the working directory on the path of modules.

    Raises:
        UsageError: another form, no such module or name, or something else of that name.
        ProgramFailed: the module itself fails; its traceback has been shown.
        DeclarationError: as the module raises it.
    """
    from isthmus import App

    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise click.UsageError(f"{target!r} names no app; write MODULE:APP, such as `isthmus run shop.orders:app`")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = import_user_module(module_name)
    found: object = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise click.UsageError(f"module {module_name!r} has no {path!r}; {_apps_in(module, App)}")
        found = getattr(found, name)
    if not isinstance(found, App):
        kind = type(found).__name__
        raise click.UsageError(f"{target!r} is of type {kind} and no isthmus.App; {_apps_in(module, App)}")
    return found


def _apps_in(module: ModuleType, kind: type) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, kind)]
    if not names:
        return "it holds no App; make one with `app = isthmus.App(...)`"
    return f"it holds {', '.join(names)}"


def import_user_module(name: str) -> ModuleType:
    """A module of the user's; what fails inside of it is shown from where their code begins."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise click.UsageError(f"no module {error.name!r} in {Path.cwd()} or among what is installed") from error
        raise _shown(error, name) from error
    except IsthmusError:
        raise
    except Exception as error:
        raise _shown(error, name) from error


def _shown(error: Exception, name: str) -> click.ClickException:
    _show(error)
    return ProgramFailed(f"module {name!r} cannot be imported: {type(error).__name__}: {error}")


def _show(error: Exception) -> None:
    error.__traceback__ = users_part(error.__traceback__)
    traceback.print_exception(error, file=sys.stderr)


def is_users(error: Exception) -> bool:
    """Whether an error was raised in the user's code, or in what that called."""
    return users_part(error.__traceback__) is not None


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the first line on that is the user's: neither ours nor Python's own."""
    while trace is not None and _is_inside(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_inside(file: str) -> bool:
    return file.startswith((PACKAGE, "<frozen ", PYTHON, CLICK))
