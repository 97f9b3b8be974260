"""The command line, `microtrain`. Each command is a module of `commands`, imported when used."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path

import click

import microtrain
from microtrain.errors import MicrotrainError, RemoteError

COMMANDS = Path(__file__).parent / "commands"


class CommandGroup(click.Group):
    """Finds a command in the module of its name, `import` in import_.py, as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            path.stem.rstrip("_") for path in COMMANDS.glob("*.py") if path.stem != "__init__"
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for stem in (cmd_name, f"{cmd_name}_"):
            if (COMMANDS / f"{stem}.py").exists():
                module = importlib.import_module(f"microtrain.cli.commands.{stem}")
                command: click.Command = module.command
                return command
        return None


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(microtrain.__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks, the board's too.")
def cli(debug: bool) -> None:
    """Train neural networks on a microcontroller, in its own integers.

    Example: microtrain boards
    """


def main() -> None:
    """Run the command line: exit code 0 on success, 1 on an error, 2 on wrong usage, 130 on
    Ctrl-C."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"] or ["--help"]
    try:
        # The exit code of a command that asked for one, else None, which is success.
        sys.exit(cli.main(args=arguments, prog_name="microtrain", standalone_mode=False))
    except click.ClickException as error:
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f" (see `{error.ctx.command_path} --help`)"
        click.echo(f"Error: {error.format_message()}{hint}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        sys.exit(130)
    except (MicrotrainError, OSError) as error:
        if debug:
            traceback.print_exc()
            if isinstance(error, RemoteError):
                click.echo(f"on the board:\n{error.traceback}", err=True)
        else:
            where = "on the board, " if isinstance(error, RemoteError) else ""
            click.echo(f"Error: {where}{error}", err=True)
        sys.exit(1)
