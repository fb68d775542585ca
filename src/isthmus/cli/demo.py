"""`isthmus demo`: options in, exit code out. The demo itself lives in `isthmus.demo`."""

from pathlib import Path

import click

from isthmus.cli.base import Settings, command, pass_settings


@command("demo")
@click.option(
    "--flights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of flights instead of January 2013, such as the whole year.",
)
@click.option("--speed", type=float, metavar="N", help="N times real time. [default: as fast as the machine allows]")
@click.option("--keep", is_flag=True, help="Keep the data in a temporary directory; --dir keeps it where you say.")
@click.option("--server", is_flag=True, help="The same through a server, with several processes around it.")
@pass_settings
def demo(settings: Settings, *, flights: Path | None, speed: float | None, keep: bool, server: bool) -> None:
    """A month of real flights through streams, queues and tables, killed in the middle, and checked figure by figure.

    Ends with a report; exit code 1 when a figure differs from what an independent computation finds in the raw files.

    Examples:
      isthmus demo
      isthmus demo --dir ./flights && isthmus --dir ./flights ls
      isthmus demo --server
    """
    from isthmus.demo.main import Options, run

    if settings.url is not None:
        raise click.UsageError("the demo makes a store of its own; --dir says where")
    directory = Path(settings.directory) if settings.directory is not None else None
    options = Options(speed=speed, flights=flights, dir=directory, json=settings.json, keep=keep, server=server)
    raise click.exceptions.Exit(run(options))
