"""The command line itself: exit codes, help, one line for an error."""

from __future__ import annotations

import sys

import click
import pytest

import microtrain
from microtrain.cli import CommandGroup, cli, main
from microtrain.errors import PlanError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Exit code of `microtrain ARGUMENTS`; None and 0 are success."""
    monkeypatch.setattr(sys, "argv", ["microtrain", *arguments])
    try:
        main()
    except SystemExit as error:
        return error.code
    return None


@click.command()
@click.argument("way")
@click.pass_context
def ends(ctx: click.Context, way: str) -> None:
    """End in the way that is asked for."""
    match way:
        case "exit":
            ctx.exit(3)
        case "raise":
            raise click.exceptions.Exit(4)
        case "plan":
            raise PlanError("too small")
        case "os":
            raise OSError("disk full")
        case "click":
            raise click.ClickException("no")
        case "stop":
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("way", "code", "message"),
    [
        ("well", None, ""),
        ("exit", 3, ""),
        ("raise", 4, ""),
        ("plan", 1, "Error: too small"),
        ("os", 1, "Error: disk full"),
        ("click", 1, "Error: no"),
        ("stop", 130, "stopped"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    way: str, code: int | None, message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(CommandGroup, "get_command", lambda group, ctx, name: ends)
    assert run(monkeypatch, "ends", way) == code
    assert capfd.readouterr().err.strip() == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such",), "No such command 'no-such'. (see `microtrain --help`)"),
        (("--no-such",), "No such option '--no-such'. (see `microtrain --help`)"),
        (("plan",), "Missing argument 'IMAGE'. (see `microtrain plan --help`)"),
        (("plan", "no-such.mtm"), "'no-such.mtm' does not exist. (see `microtrain plan --help`)"),
    ],
)
def test_wrong_usage_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    assert run(monkeypatch, *arguments) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith("Error: ") and err.strip().endswith(message)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert not run(monkeypatch, *arguments)
    out, err = capfd.readouterr()
    assert out.startswith("Usage: microtrain") and err == ""
    for name in cli.list_commands(click.Context(cli)):
        assert f"\n  {name} " in out


def test_version(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert not run(monkeypatch, "--version")
    assert capfd.readouterr().out.split()[-1] == microtrain.__version__
