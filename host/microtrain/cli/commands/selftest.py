"""`microtrain selftest`: whether firmware and board are sound."""

from __future__ import annotations

import click

from microtrain.cli.common import json_option, open_port, port_option, print_json
from microtrain.selftest import Check, Report, selftest
from microtrain.selftest.run import require_sound

NAMES = {
    "heap_bytes": "heap", "heap_free_bytes": "free", "largest_block_bytes": "largest free block",
    "romfs_bytes": "ROMFS", "files_free_bytes": "free for files",
}  # fmt: skip


@click.command()
@port_option
@json_option
def command(port: str, as_json: bool) -> None:
    """Run golden vectors of every operator, forward and backward, on the board.

    Says what it runs, its memory and its speed too. The exit code is 0 only if every byte is
    right.

    Example: microtrain selftest --port /dev/ttyACM0
    """
    with open_port(port) as device:
        report = selftest(device, (lambda check: None) if as_json else _print_check)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    require_sound(report)
    if not as_json:
        left_out = sum(check.left_out for check in report.checks)
        click.echo(f"all {len(report.checks) - left_out} golden vectors are right: firmware and "
                   "board are sound" + (f" ({left_out} not in this build)" if left_out else ""))


def _print_check(check: Check) -> None:
    state = "not in this build" if check.left_out else "right"
    click.echo(f"{check.name}: {check.problem or state}")


def _print(report: Report) -> None:
    firmware = report.firmware
    click.echo(f"firmware: microtrain {firmware.version or 'without its Python package'}, engine "
               f"ABI {firmware.abi}, image format {firmware.image_format}")  # fmt: skip
    click.echo(f"board: {firmware.machine}, {firmware.micropython}")
    sizes = [f"{name} {'none' if report.memory[key] is None else f'{report.memory[key]:,} B'}"
             for key, name in NAMES.items()]  # fmt: skip
    click.echo(f"memory: {', '.join(sizes)}")
    if report.forward_macs_per_s is None or report.backward_macs_per_s is None:
        click.echo("speed: not measured, as this board has no clock, or not all operators")
    else:
        click.echo(f"speed: forward {report.forward_macs_per_s / 1e6:.2f}, backward "
                   f"{report.backward_macs_per_s / 1e6:.2f} million MACs a second")  # fmt: skip
