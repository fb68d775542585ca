"""`isthmus serve`: run a server on a data directory until a signal says stop.

It puts settings together and says where the server is; serving is the server's own business.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from isthmus.cli.base import URL_VARIABLE, Settings, command, pass_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isthmus.cli.output import Output
    from isthmus.server.server import Listening

ADDRESS: Final = "[HOST:]PORT"


@command("serve")
@click.argument("place", metavar="[DIR]", required=False)
@click.option("--native", metavar=ADDRESS, help="The library's own protocol, for isthmus://host:port. [8320]")
@click.option("--kafka", metavar=ADDRESS, help="Kafka's protocol. [9092]")
@click.option("--amqp", metavar=ADDRESS, help="RabbitMQ's protocol, AMQP 0-9-1. [5672]")
@click.option("--web", metavar=ADDRESS, help="Health and metrics. [8321]")
@click.option("--sqs", metavar=ADDRESS, help="Amazon SQS's protocol. [9324]")
@click.option("--kinesis", metavar=ADDRESS, help="Amazon Kinesis's protocol. [4567]")
@click.option("--advertise", metavar="HOST:PORT", help="Where Kafka clients are told to come back to.")
@click.option("--tls-cert", metavar="FILE", help="Certificate of the server, with its chain.")
@click.option("--tls-key", metavar="FILE", help="Its key, where that is in a file of its own.")
@click.option("--tls-client-ca", metavar="FILE", help="Ask clients for a certificate that this signed.")
@click.option("--tls-client", type=click.Choice(["optional", "required"]), help="Whether they must have one.")
@click.option("--insecure", is_flag=True, default=None, help="Be reachable from other machines without TLS and users.")
@click.option("--config", metavar="FILE", help="Settings as TOML; options win over it.")
@click.option("--quiet", is_flag=True, help="Log warnings and errors only.")
@pass_settings
def serve(settings: Settings, /, *, config: str | None, quiet: bool, place: str | None, **given: Any) -> None:
    """Serve a data directory, by default ./isthmus-data, until SIGTERM or Ctrl-C.

    With any of the listeners named, only these are opened; otherwise all, on loopback. Port 0 picks a free one. A line
    on stdout names each address when it is served.

    Examples:
      isthmus serve ./data
      isthmus serve ./data --kafka 9092 --web 0
      isthmus serve --config server.toml
    """
    from isthmus.cli.base import run_fast
    from isthmus.server.config import load
    from isthmus.server.logs import set_up
    from isthmus.server.server import serve as serve_until_stopped

    given["directory"] = place or _directory(settings)
    found = load(None if config is None else Path(config), os.environ, given)
    set_up(json=settings.json, quiet=quiet)
    run_fast(serve_until_stopped(found, lambda listening: _show(settings.out, listening)))


def _directory(settings: Settings) -> str | None:
    """What --dir or --url name; the variable counts less than a file does."""
    if settings.url is None and settings.directory is None and not os.environ.get(URL_VARIABLE):
        return None
    return settings.need_store("a server")


def _show(out: "Output", listening: "Sequence[Listening]") -> None:
    for each in listening:
        if out.json:
            out.json_line(each)
        else:
            out.text(str(each))
    out.flush()
