"""The `qtxconn` command: finds the subcommands, imports the one that is run, turns errors into one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from qtxconn import __version__
from qtxconn.errors import QtxconnError

# Name -> (module, attribute, one line of help). Kept here so that `--help` imports no command.
COMMANDS = {
    "bench": ("qtxconn.cli.bench", "bench", "Measure latencies beside C and beside peers, in a checkout."),
    "certify": ("qtxconn.cli.certify", "certify_command", "Run the conformance kit on a connector."),
    "demo": ("qtxconn.cli.demo", "demo", "Trade on the embedded venue and report."),
    "record": ("qtxconn.cli.record", "record", "Record an exchange's market for replay."),
    "venue": ("qtxconn.cli.venue", "venue", "Run the embedded venue alone."),
}
USAGE_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130


class LazyGroup(click.Group):
    """A group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}; the commands are {', '.join(sorted(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qtxconn")
def cli() -> None:
    """Exchange connectors with a compiled core, and a venue to try them on."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line. Exit status: 0, or 2 for bad input, with one line on standard error."""
    try:
        status = cli.main(args=args, prog_name="qtxconn", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE_ERROR_STATUS)
    except click.Abort:
        sys.exit(INTERRUPTED_STATUS)
    except click.ClickException as error:
        _fail(error.format_message())
    except QtxconnError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output is gone; nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> NoReturn:
    print(f"qtxconn: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(USAGE_ERROR_STATUS)


if __name__ == "__main__":
    main()
