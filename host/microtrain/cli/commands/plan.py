"""`microtrain plan`: what training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from microtrain.cli.common import (
    FILE,
    cores_option,
    gradient_bits_option,
    json_option,
    momentum_bits_option,
    open_port,
    port_option,
    print_json,
)
from microtrain.errors import PlanError
from microtrain.run.plan import plan
from microtrain.run.train import LOSSES

SMALLER = ("bias", "last")  # schemes that may fit where another does not


@click.command()
@click.argument("image", type=FILE)
@click.option("--scheme", default="last", show_default=True,
              help="last, last-K, bias, full, a scheme file, or FILE.json#MODEL/NAME.")
@click.option("--ram", type=click.IntRange(1), help="Bytes of RAM there are: does it fit?")
@click.option("--new-head", type=click.IntRange(2, 65535), help="Classes of a new classifier.")
@click.option("--loss", type=click.Choice(LOSSES), default="cross_entropy", show_default=True)
@click.option("--wide", is_flag=True, help="One more byte for every trained weight.")
@gradient_bits_option(8)
@momentum_bits_option
@cores_option
@port_option
@json_option
def command(
    image: Path, scheme: str, ram: int | None, new_head: int | None, loss: str, wide: bool,
    gradient_bits: int, momentum_bits: int | None, cores: int, port: str, as_json: bool,
) -> None:  # fmt: skip
    """Say what training IMAGE needs: bytes of RAM, multiply-accumulates, layer by layer.

    The numbers are those of the engine's planner; a board uses exactly these. With --ram the exit
    code is 1 if it does not fit.

    Example: microtrain plan net.mtm --scheme bias --ram 65536
    """
    others = [name for name in SMALLER if name != scheme] if ram else []
    with open_port(port) as device:
        found, totals = plan(
            device, image, scheme, new_head=new_head, loss=loss, wide=wide,
            gradient_bits=gradient_bits, momentum_bits=momentum_bits or 0, cores=cores,
            others=others,
        )  # fmt: skip
    needed = found["total_ram_bytes"]
    if as_json:
        print_json(found)
    else:
        _print(found)
    if ram is None:
        return
    if needed > ram:
        raise PlanError(_does_not_fit(found, ram, totals))
    if not as_json:
        click.echo(f"fits {ram} bytes of RAM, {ram - needed} to spare")


def _does_not_fit(found: dict[str, Any], ram: int, totals: dict[str, int]) -> str:
    needed = found["total_ram_bytes"]
    operator, direction = found["peak"]
    text = (
        f"scheme {found['scheme']} needs {needed} bytes of RAM, {needed - ram} more than the "
        f"{ram} there are (most in the {direction} pass of {operator})"
    )
    fitting = [f"--scheme {name} ({total})" for name, total in totals.items() if total <= ram]
    if fitting:
        return f"{text}: {' or '.join(fitting)} fits"
    if totals:
        least = min(totals.values())
        return f"{text}: not even --scheme last fits, which needs {least}; use a smaller network"
    return f"{text}: use a smaller network or a smaller input"


def _print(found: dict[str, Any]) -> None:
    click.echo(f"{found['model']}, scheme {found['scheme']}")
    optimizer = found["optimizer_bytes"]
    parts = (
        ("arena", found["arena_bytes"],
         f"activations, gradients, scratch; lower bound {found['arena_lower_bound_bytes']:,}"),
        ("trained state", found["state_bytes"],
         f"{found['trainable_bytes']:,} in trained tensors"
         + (f", {optimizer:,} of the optimizer" if optimizer else "")),
        ("tables", found["table_bytes"] + found["derived_bytes"], "what a plan leaves behind"),
        ("RAM", found["total_ram_bytes"], "a training step needs in one block"),
        ("flash", found["flash_bytes"], "the image, read in place"),
    )
    for name, value, text in parts:
        click.echo(f"  {name:14}{value:>12,} bytes  {text}")
    sample = ", and the sample" if found["input_rows"] else ""
    click.echo(f"  {'row by row':14}{found['stream_ops']:>12,} operators at the beginning{sample}")
    for name in ("forward", "backward"):
        click.echo(f"  {name:14}{found[f'{name}_macs']:>12,} multiply-accumulates")
    rows = [
        layer for layer in found["layers"]
        if layer["trained_weights"] or layer["trained_bias"] or layer["saved_bytes"]
        or layer["mask_bytes"]
    ]  # fmt: skip
    width = max((len(layer["name"]) for layer in rows), default=8)
    columns = (("weights", "trained_weights"), ("biases", "trained_bias"),
               ("saved B", "saved_bytes"), ("mask B", "mask_bytes"),
               ("forward", "forward_macs"), ("backward", "backward_macs"))  # fmt: skip
    click.echo(f"\n  {'#':>3}  {'operator':{width}}  {'kind':16}"
               + "".join(f"{title:>12}" for title, _ in columns))  # fmt: skip
    for layer in rows:
        click.echo(f"  {layer['index']:3}  {layer['name']:{width}}  {layer['op']:16}"
                   + "".join(f"{layer[key]:>12,}" for _, key in columns))  # fmt: skip
