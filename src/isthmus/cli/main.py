"""The program `isthmus`: the list of its commands, each imported when it is asked for.

It parses, hands over, and turns whatever comes back into an exit code. It imports no command before that, so that
`isthmus --help` and every command start fast.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from isthmus import __version__
from isthmus.cli.base import Group, Settings, report


class Entry(NamedTuple):
    """Where a command lives, and its line in the list."""

    module: str
    attribute: str
    line: str


SECTIONS: Final[tuple[tuple[str, dict[str, Entry]], ...]] = (
    (
        "Start",
        {
            "demo": Entry("demo", "demo", "A month of real flights, in about half a minute."),
            "run": Entry("run", "run_command", "Run an app: `isthmus run module:app`."),
            "serve": Entry("serve", "serve", "A server: Kafka's protocol, our own, health and metrics."),
            "bench": Entry("bench", "bench", "How fast is it? Publishing, reading, queues, latencies."),
            "doctor": Entry("doctor", "doctor", "Is all well with the disk, the data and the readers?"),
        },
    ),
    (
        "Streams and queues",
        {
            "ls": Entry("topics", "ls", "List streams and queues."),
            "show": Entry("topics", "show", "One stream or queue: settings, partitions, readers."),
            "create": Entry("topics", "create", "Make a stream or a queue."),
            "alter": Entry("topics", "alter", "Change the settings of a stream or queue."),
            "rm": Entry("topics", "rm", "Remove streams or queues with their events."),
        },
    ),
    (
        "Events",
        {
            "pub": Entry("publish", "pub", "Publish events from a file or from stdin."),
            "tail": Entry("tail", "tail", "Show events, from any point on; follow them."),
            "explain": Entry("explain", "explain", "The life of one event."),
        },
    ),
    (
        "Readers",
        {
            "group": Entry("group", "group_commands", "Consumer groups: lag, seek, remove."),
            "queue": Entry("queue", "queue", "Queues: peek, purge."),
            "dlq": Entry("dlq", "dlq", "Dead letters: look, redrive, remove."),
            "exchange": Entry("exchange", "exchange_commands", "Exchanges and where they lead: add, bind, ls."),
            "namespace": Entry("namespace", "namespace_commands", "Namespaces, which are AMQP's virtual hosts."),
            "policy": Entry("policy", "policy_commands", "Settings of all queues or exchanges that fit a pattern."),
        },
    ),
    ("Access", {"user": Entry("user", "user_commands", "Users: who may do what; passwords.")}),
    ("Files", {"log": Entry("log", "log", "The files of a data directory: verify, dump, repair.")}),
)
COMMANDS: Final = {name: entry for _, entries in SECTIONS for name, entry in entries.items()}


class Root(Group):
    """The commands by name, and the one place where errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click declares it
        """All names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(f"isthmus.cli.{entry.module}"), entry.attribute)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """The list by section, from the table above and not from the commands, which are not imported for it."""
        for title, entries in SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(name, entry.line) for name, entry in entries.items()])

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and hand over what it wrote; every error becomes an exit code.

        Raises:
            Exit: always, with the code.
        """
        settings = ctx.ensure_object(Settings)
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the line: all of them are reported
            code = report(error, settings)
        else:
            code = 0
        raise click.exceptions.Exit(code)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - as click declares it
        **more: Any,
    ) -> Any:  # noqa: ANN401 - as click declares it
        """As click's, but what cannot even be parsed is reported in the same way."""
        given = list(sys.argv[1:] if args is None else args)
        # Known before the parser is, so that what cannot be parsed is reported in the form that was asked for.
        settings = Settings(json="--json" in given)
        try:
            code = super().main(given, prog_name, complete_var, False, obj=settings, **more)
        except (click.ClickException, click.Abort) as error:
            code = report(error, settings)
        if standalone_mode:
            sys.exit(code)
        return code


@click.group(
    name="isthmus", cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="isthmus", message="%(prog)s %(version)s")
def cli() -> None:
    """Isthmus: an event broker that lives in a Python process.

    Say which broker with --dir, --url or ISTHMUS_URL. Every command takes --json, and has an example in its --help.

    Exit codes:
      0 done, 1 a check found something, 2 wrong usage, 3 the request was
      refused, 4 storage, 5 engine, 130 interrupted

    Example:
      isthmus --dir ./data create orders --partitions 6
      echo '{"order_id": "o-1"}' | isthmus --dir ./data pub orders --key order_id
      isthmus --dir ./data tail orders
    """


def main() -> None:
    """The entry point of the program."""
    cli.main(prog_name="isthmus")


if __name__ == "__main__":
    main()
