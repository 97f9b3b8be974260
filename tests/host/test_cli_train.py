"""The commands train, eval and plan, from files to a board and back, over the virtual board."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_net
from command_line import COMMAND
from reference.forward import run_graph
from shared import shared

from microtrain import image
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import Device, open_device
from microtrain.run import plan

DONE_KEYS = [
    "event", "steps", "epochs", "train_loss", "val_accuracy_before", "val_accuracy_after",
    "total_ram_bytes", "samples_per_s", "image_sha256", "checkpoint_sha256",
]  # fmt: skip
PLAN_KEYS = {
    "model", "scheme", "arena_bytes", "arena_lower_bound_bytes", "trainable_bytes",
    "total_ram_bytes", "flash_bytes", "forward_macs", "backward_macs", "layers",
}  # fmt: skip
LAYER_KEYS = {
    "index", "name", "op", "trained_weights", "trained_bias", "saved_bytes", "mask_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of tiny_net, and a folder `board` that holds the board's files."""
    folder = tmp_path_factory.mktemp("files")
    tiny_net.write_all(folder)
    return folder


def environment(files: Path) -> dict[str, str]:
    return os.environ | {"MICROTRAIN_BOARD_FOLDER": str(files / "board")}


def cli(files: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=files,
        env=environment(files),
    )  # fmt: skip


def train(files: Path, *arguments: object, data: str = "train.mtd") -> list[dict[str, Any]]:
    """Events of `train tiny.mtm --scheme full --epochs 2 --lr 0.02 --json` and what is given."""
    result = cli(files, "train", "--model", "tiny.mtm", "--data", data, "--scheme", "full",
                 "--epochs", 2, "--lr", 0.02, "--json", *arguments)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def only(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_events_of_a_run(files: Path) -> None:
    events = train(files, "--val", "val.mtd", "--epochs", 4, "--schedule", "linear",
                   "--log", "log.jsonl", "--plot", "run.png", "--save", "net.mtc")  # fmt: skip
    assert [json.loads(line) for line in (files / "log.jsonl").read_text().splitlines()] == events
    done = events[-1]
    assert sorted(done) == sorted(DONE_KEYS)
    assert (done["event"], done["steps"], done["epochs"]) == ("done", 256, 4)
    assert done["image_sha256"] == hashlib.sha256((files / "tiny.mtm").read_bytes()).hexdigest()
    saved = (files / "net.mtc").read_bytes()
    assert done["checkpoint_sha256"] == hashlib.sha256(saved).hexdigest()
    assert done["samples_per_s"] > 0

    steps, epochs, evals = (only(events, kind) for kind in ("step", "epoch", "eval"))
    assert sum(step["samples"] for step in steps) == 256 and steps[-1]["step"] == 256
    assert steps[0]["lr"] == pytest.approx(0.02) and steps[-1]["lr"] < 0.001
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    for epoch in epochs:  # the mean of its steps
        mine = [step for step in steps if step["epoch"] == epoch["epoch"]]
        mean = sum(s["loss"] * s["samples"] for s in mine) / 64
        assert epoch["train_loss"] == pytest.approx(mean, rel=1e-4)
    assert done["train_loss"] == pytest.approx(epochs[-1]["train_loss"], rel=1e-6)
    assert [event["when"] for event in evals] == ["before", *["epoch"] * 3, "after"]
    assert done["val_accuracy_before"] == evals[0]["accuracy"] < 0.6
    assert done["val_accuracy_after"] == evals[-1]["accuracy"] > 0.9
    assert (files / "run.png").read_bytes().startswith(b"\x89PNG")

    # The checkpoint holds what was measured.
    result = cli(files, "eval", "--model", "tiny.mtm", "--data", "val.npz", "--checkpoint",
                 "net.mtc", "--outputs", "out.npy", "--json")  # fmt: skip
    found = json.loads(result.stdout)
    assert set(found) == {"accuracy", "samples", "confusion"} and found["samples"] == 40
    assert found["accuracy"] == pytest.approx(done["val_accuracy_after"], abs=1e-6)
    confusion, outputs = np.array(found["confusion"]), np.load(files / "out.npy")
    assert confusion.sum() == 40 and confusion.sum(1).tolist() == [10] * 4
    assert np.trace(confusion) == round(40 * found["accuracy"])
    assert outputs.shape == (40, 4) and outputs.dtype == np.int32
    truth = np.load(files / "val.npz")["y"]
    assert np.mean(outputs.argmax(1) == truth) == pytest.approx(found["accuracy"])


def test_same_run_same_bytes(files: Path) -> None:
    first, again = train(files)[-1], train(files, data="train.npz")[-1]
    other = train(files, "--seed", 2)[-1]
    assert first["checkpoint_sha256"] == again["checkpoint_sha256"] != other["checkpoint_sha256"]
    assert first["val_accuracy_before"] is None is first["val_accuracy_after"]


def test_schedules(files: Path) -> None:
    def rates(*options: object) -> list[float]:
        events = train(files, "--schedule", *options)
        return [step["lr"] / 0.02 for step in only(events, "step")]

    t = np.arange(128 - 32) / (128 - 32)
    cosine = rates("cosine", "--warmup", 32)
    assert cosine[:32] == pytest.approx(np.arange(32) / 32, abs=1e-5)
    assert cosine[32:] == pytest.approx(0.5 * (1 + np.cos(np.pi * t)), abs=1e-5)
    assert rates("step=0.1@25,50") == pytest.approx([1] * 32 + [0.1] * 32 + [0.01] * 64)
    for wrong in ("step=3@50", "cubic"):
        result = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd",
                     "--schedule", wrong)  # fmt: skip
        assert result.returncode == 2 and f"'{wrong}' is not one of constant" in result.stderr


def test_the_best_epoch_is_kept(files: Path) -> None:
    """What remains is what a run of so many epochs gives, and Ctrl-C changes nothing of it."""
    options = ("--val", "val.mtd", "--epochs", 30, "--patience", 2, "--keep-best")
    events = train(files, *options, "--save", "best.mtc")
    done, (best,) = events[-1], only(events, "best")
    scores = [event["accuracy"] for event in only(events, "eval") if event["when"] == "epoch"]
    assert len(scores) == len(only(events, "epoch")) == best["epoch"] + 2 < 30
    assert scores.index(max(scores)) + 1 == best["epoch"]
    assert max(scores) == best["accuracy"] == done["val_accuracy_after"]
    assert (done["epochs"], done["steps"]) == (best["epoch"], best["steps"])
    assert only(events, "epoch")[-1]["best_epoch"] == best["epoch"] and best["kept"]
    plain = train(files, "--epochs", best["epoch"])[-1]
    assert plain["checkpoint_sha256"] == done["checkpoint_sha256"]

    shown = cli(files, "inspect", "best.mtc", "--json")
    assert json.loads(shown.stdout)["state_bytes"] == best["state_bytes"]
    result = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd", "--keep-best")
    assert result.returncode == 1 and "give --val" in result.stderr


def test_augmentation(files: Path) -> None:
    """It matters, each change does, and a checkpoint goes on with the same samples."""
    changes = ("flip", "shift=1", "brightness=9", "cutout=2", "flip,shift=1,brightness=9,cutout=2")
    digests = {train(files, "--augment", each)[-1]["checkpoint_sha256"] for each in changes}
    plain = train(files, "--augment", "flip=0,shift=0")[-1]["checkpoint_sha256"]
    assert plain == train(files)[-1]["checkpoint_sha256"]
    assert len(digests | {plain}) == 6

    whole = train(files, "--augment", changes[-1], "--save", "whole.mtc")[-1]
    train(files, "--augment", changes[-1], "--epochs", 1, "--save", "half.mtc")
    rest = train(files, "--augment", changes[-1], "--epochs", 1, "--checkpoint", "half.mtc")[-1]
    assert rest["checkpoint_sha256"] == whole["checkpoint_sha256"]
    for wrong in ("turn", "shift", "shift=-1", "brightness=256", "flip=2"):
        result = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd",
                     "--augment", wrong)  # fmt: skip
        assert result.returncode == 2 and f"'{wrong}' is not one of flip=0-1" in result.stderr


def test_nothing_is_sent_twice(files: Path) -> None:
    train(files)
    names = ("tiny.mtm", "train.mtd")
    before = {name: (files / "board" / name).stat().st_mtime_ns for name in names}
    train(files)
    assert before == {name: (files / "board" / name).stat().st_mtime_ns for name in names}


def test_a_checkpoint_goes_on_exactly_where_it_was(files: Path) -> None:
    whole = train(files, "--epochs", 4, "--seed", 7)[-1]
    train(files, "--epochs", 1, "--seed", 7, "--save", "part.mtc")
    rest = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd", "--epochs", 3,
               "--checkpoint", "part.mtc", "--save", "part.mtc", "--json")  # fmt: skip
    done = json.loads(rest.stdout.splitlines()[-1])
    assert (done["steps"], done["epochs"]) == (256, 4)
    assert done["checkpoint_sha256"] == whole["checkpoint_sha256"]
    # Another scheme takes over what was learned; one that cannot hold it is refused.
    events = train(files, "--checkpoint", "part.mtc", "--val", "val.mtd", "--lr", 0)
    assert events[-1]["val_accuracy_before"] > 0.9
    result = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd", "--scheme", "last",
                 "--checkpoint", "part.mtc")  # fmt: skip
    assert result.returncode == 1 and "this scheme does not hold it" in result.stderr


def test_new_head(files: Path) -> None:
    done = train(files, "--new-head", 6, "--scheme", "last", "--lr", 0.1, "--epochs", 4,
                 "--val", "val.mtd", "--val-every", 0)[-1]  # fmt: skip
    # At zero all classes are equal, and the first is taken: a quarter of the samples.
    assert done["val_accuracy_before"] == 0.25 and done["val_accuracy_after"] > 0.9


def test_schemes_from_files(files: Path) -> None:
    ours = {"name": "ours", "layers": {"conv2d_2": {"bias": True, "weights": [1, 6]}}}
    (files / "ours.json").write_text(json.dumps(ours))
    published = {"tiny": {"1kb": {
        "enable_backward_config": 1, "n_bias_update": 2, "n_weight_update": 0,
        "weight_update_ratio": [0.5], "manual_weight_idx": [2],
        "weight_select_criteria": "magnitude+", "pw1_weight_only": 0,
    }}}  # fmt: skip
    (files / "many.json").write_text(json.dumps(published))
    sizes = {}
    for scheme in ("last", "last-1", "bias", "full", "ours.json", "many.json#tiny/1kb"):
        result = cli(files, "plan", "tiny.mtm", "--scheme", scheme, "--json")
        found = json.loads(result.stdout)
        assert set(found) >= PLAN_KEYS and set(found["layers"][0]) >= LAYER_KEYS
        done = train(files, "--scheme", scheme)[-1]
        assert done["total_ram_bytes"] == found["total_ram_bytes"]
        sizes[scheme] = {
            layer["name"]: (layer["trained_weights"], layer["trained_bias"])
            for layer in found["layers"] if layer["trained_weights"] or layer["trained_bias"]
        }  # fmt: skip
    assert sizes["last"] == {"linear_4": (576, 4)}
    assert sizes["last-1"] == {"conv2d_2": (128, 16), "linear_4": (576, 4)}
    assert sizes["ours.json"] == {"conv2d_2": (32, 16), "linear_4": (576, 4)}
    assert sizes["many.json#tiny/1kb"] == {
        "depthwise_conv2d_1": (0, 8), "conv2d_2": (64, 16), "linear_4": (576, 4)
    }


def test_wide_weights_cost_a_byte_each(files: Path) -> None:
    """The classifier has its second byte anyway."""
    narrow, wide = (
        json.loads(cli(files, "plan", "tiny.mtm", "--scheme", "full", "--json", *extra).stdout)
        for extra in ((), ("--wide",))
    )
    weights = [layer["trained_weights"] for layer in wide["layers"]]
    head = max(i for i, n in enumerate(weights) if n)
    assert wide["trainable_bytes"] - narrow["trainable_bytes"] == sum(weights) - weights[head] > 0
    plain, other = (train(files, *extra)[-1] for extra in ((), ("--wide",)))
    assert other["total_ram_bytes"] == wide["total_ram_bytes"] > plain["total_ram_bytes"]
    assert other["checkpoint_sha256"] != plain["checkpoint_sha256"]


def test_gradients_of_12_bits(files: Path) -> None:
    """More arena; another result; and a checkpoint goes on with them."""
    narrow, fine = (
        json.loads(cli(files, "plan", "tiny.mtm", "--scheme", "full", "--json", *extra).stdout)
        for extra in ((), ("--gradient-bits", 12))
    )
    assert fine["arena_bytes"] > narrow["arena_bytes"]
    plain, first = (
        train(files, "--scheme", "full", *extra)[-1]
        for extra in ((), ("--gradient-bits", 12, "--save", "fine.mtc"))
    )
    assert first["checkpoint_sha256"] != plain["checkpoint_sha256"]
    again = train(files, "--checkpoint", "fine.mtc")[-1]
    assert first["total_ram_bytes"] == again["total_ram_bytes"] == fine["total_ram_bytes"]
    assert again["steps"] == 2 * first["steps"]
    wrong = cli(files, "plan", "tiny.mtm", "--gradient-bits", 9)
    assert wrong.returncode == 2 and "'9' is not one of" in wrong.stderr


def test_both_cores(files: Path) -> None:
    """The same bytes for more RAM, which the plan counts; a checkpoint names no cores."""
    one, two = (
        train(files, "--cores", cores, "--save", f"on{cores}.mtc")[-1] for cores in (1, 2)
    )
    assert (files / "on1.mtc").read_bytes() == (files / "on2.mtc").read_bytes()
    found = json.loads(
        cli(files, "plan", "tiny.mtm", "--scheme", "full", "--cores", 2, "--json").stdout
    )
    assert found["total_ram_bytes"] == two["total_ram_bytes"] > one["total_ram_bytes"]
    crossed = [
        train(files, "--checkpoint", f"on{3 - cores}.mtc", "--cores", cores)[-1]
        for cores in (1, 2)
    ]
    assert crossed[0]["checkpoint_sha256"] == crossed[1]["checkpoint_sha256"]
    assert crossed[0]["total_ram_bytes"] < crossed[1]["total_ram_bytes"]


def test_scaling_off(files: Path) -> None:
    """Below the classifier the integers hardly move at an ordinary rate; a checkpoint keeps it."""
    plain, off = (
        train(files, *extra)[-1]["checkpoint_sha256"]
        for extra in (("--qas",), ("--no-qas", "--save", "off.mtc"))
    )
    assert plain == train(files)[-1]["checkpoint_sha256"] != off
    trained = ("--checkpoint", "off.mtc")
    kept, named, on = (
        train(files, *trained, *extra)[-1]["checkpoint_sha256"]
        for extra in ((), ("--no-qas",), ("--qas",))
    )
    assert kept == named != on


def test_momentum_and_its_bytes(files: Path) -> None:
    """The plan's bytes are the run's; a checkpoint goes on with all of it."""
    options = ("--momentum", 0.9, "--weight-decay", 1e-3, "--accumulate", 4)
    for bits in (8, 16):
        chosen = ("--momentum-bits", bits)
        plans = [
            json.loads(cli(files, "plan", "tiny.mtm", "--scheme", "full", "--json", *extra).stdout)
            for extra in ((), chosen)
        ]
        trained = sum(n["trained_weights"] + n["trained_bias"] for n in plans[1]["layers"])
        assert plans[0]["optimizer_bytes"] == 0
        assert 0 <= plans[1]["optimizer_bytes"] - trained * bits // 8 < trained
        done = train(files, *options, *chosen, "--save", "momentum.mtc")[-1]
        assert done["total_ram_bytes"] == plans[1]["total_ram_bytes"]
        assert done["total_ram_bytes"] > plans[0]["total_ram_bytes"]
        ends = {
            train(files, "--checkpoint", "momentum.mtc", *extra)[-1]["checkpoint_sha256"]
            for extra in ((), options, (*options, *chosen), ("--momentum", 0.8))
        }
        assert len(ends) == 2
    table = cli(files, "plan", "tiny.mtm", "--momentum-bits", 16).stdout
    assert "of the optimizer" in table
    wrong = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd", "--momentum", 1)
    assert wrong.returncode == 2 and "--momentum" in wrong.stderr


def test_plan_against_a_memory_size(files: Path) -> None:
    needed = json.loads(cli(files, "plan", "tiny.mtm", "--scheme", "full", "--json").stdout)
    total = needed["total_ram_bytes"]
    fits = cli(files, "plan", "tiny.mtm", "--scheme", "full", "--ram", total)
    assert fits.returncode == 0 and f"fits {total} bytes of RAM, 0 to spare" in fits.stdout
    short = cli(files, "plan", "tiny.mtm", "--scheme", "full", "--ram", total - 3)
    assert short.returncode == 1
    assert f"needs {total} bytes of RAM, 3 more than the {total - 3}" in short.stderr
    assert "--scheme bias" in short.stderr and "fits" in short.stderr
    assert len(short.stderr.splitlines()) == 1
    never = cli(files, "plan", "tiny.mtm", "--ram", 100)
    assert never.returncode == 1 and "smaller" in never.stderr


def test_outputs_as_imported_are_the_reference(files: Path) -> None:
    result = cli(files, "eval", "--model", "tiny.mtm", "--data", "val.mtd", "--outputs", "o.npy")
    assert result.returncode == 0 and result.stdout.startswith("accuracy ")
    outputs, samples = np.load(files / "o.npy"), np.load(files / "val.npz")["x"]
    graph = image.read(files / "tiny.mtm")
    expected = np.stack([run_graph(graph, x).reshape(-1) for x in samples])
    assert outputs.dtype == np.int8 and np.array_equal(outputs, expected)
    plain = cli(files, "eval", "--model", "tiny.mtm", "--data", "plain.mtd", "--json")
    assert json.loads(plain.stdout) == {"accuracy": None, "samples": 64, "confusion": None}


def test_targets_that_are_numbers(files: Path) -> None:
    events = train(files, "--loss", "mse", "--val", "vectors.mtd", "--plot", "run.svg",
                   data="vectors.mtd")  # fmt: skip
    evals = only(events, "eval")
    assert evals[-1]["loss"] < evals[0]["loss"] and evals[0]["accuracy"] is None
    assert events[-1]["val_accuracy_after"] is None


def test_ctrl_c_reports_and_saves(files: Path) -> None:
    command = [*COMMAND, "train", "--model", "tiny.mtm", "--data", "train.mtd", "--scheme", "full",
               "--lr", "0.01", "--epochs", "100000", "--val", "val.mtd", "--save", "stopped.mtc",
               "--json"]  # fmt: skip
    with subprocess.Popen(command, cwd=files, env=environment(files), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step":
                break
        process.send_signal(signal.SIGINT)
        events = [json.loads(line) for line in process.stdout]
        errors = process.stderr.read()
    assert process.returncode == 130 and errors.split() == ["stopped"]
    done = events[-1]
    assert 0 < done["steps"] < 64 * 100000 and done["val_accuracy_after"] is not None
    saved = (files / "stopped.mtc").read_bytes()
    assert hashlib.sha256(saved).hexdigest() == done["checkpoint_sha256"]
    assert int.from_bytes(saved[48:52], "little") == done["steps"]


def test_text_output(files: Path) -> None:
    arguments = ["train", "--model", "tiny.mtm", "--data", "train.mtd", "--val", "val.mtd",
                 "--epochs", "2", "--lr", "0.02"]  # fmt: skip
    result = cli(files, *arguments)
    lines = result.stdout.splitlines()
    assert result.stderr == "" and len(lines) == 6, result
    assert lines[1].startswith("epoch 1: loss ") and lines[-1].startswith("accuracy ")
    # A bar on a terminal, and only there.
    master, slave = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], cwd=files, env=environment(files), text=True,
                          stdout=subprocess.PIPE, stderr=slave) as process:  # fmt: skip
        os.close(slave)
        assert process.stdout is not None
        on_terminal = b""
        while True:
            try:
                on_terminal += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
        assert process.stdout.read().splitlines()[-1].startswith("accuracy ")
    os.close(master)
    assert process.returncode == 0
    assert b"train" in on_terminal and b"/128" in on_terminal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scheme", "most"), "neither one of last, bias, full, last-K nor a file"),
        (("--data", "plain.mtd"), 'has no classes: use loss="mse"'),
        (("--loss", "mse"), 'has classes: use loss="cross_entropy"'),
        (("--val", "small.npz"), "the model wants (6, 6, 3)"),
        (("--data", "many.npz"), "use new_head(classes=10)"),
        (("--data", "train.csv"), ".mtd or .npz needed"),
        (("--model", "train.mtd"), "not a model image"),
        (("--data", "tiny.mtd"), "not a data file"),
        (("--checkpoint", "tiny.mtm"), "not a checkpoint"),
        (("--checkpoint", "tiny.mtm", "--new-head", 4), "give one of the two"),
        (("--plot", "x.nonsense"), "nonsense"),
        (("--port", "/dev/no-such-port"), "no serial port /dev/no-such-port"),
    ],
)
def test_errors_are_one_line(files: Path, arguments: tuple[object, ...], message: str) -> None:
    x, y = tiny_net.samples(4, 1)
    np.savez(files / "small.npz", x=x[:, :3], y=y)
    np.savez(files / "many.npz", x=x, y=y + 6)
    (files / "train.csv").write_text("a,label\n1,2\n")
    (files / "tiny.mtd").write_bytes((files / "tiny.mtm").read_bytes())
    result = cli(files, "train", "--model", "tiny.mtm", "--data", "train.mtd", *arguments)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and message in result.stderr, result.stderr


@pytest.mark.parametrize("name", ["train", "eval", "plan"])
def test_help_has_an_example(files: Path, name: str) -> None:
    result = cli(files, name, "--help")
    assert result.returncode == 0 and f"Example: microtrain {name}" in result.stdout


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_device("virtual", folder=tmp_path_factory.mktemp("board")) as device:
        yield device


@pytest.mark.parametrize("model", ["mbv2-w0.35", "mcunet-5fps", "proxyless-w0.3"])
def test_published_schemes(device: Device, model: str, tmp_path: Path) -> None:
    """Each entry plans on the network it was made for, within 5 % of the arena's lower bound."""
    path = tmp_path / f"{model}.mtm"
    image.write(import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"), 128), path)
    config = shared("data/mcunet/sparse_update_configs.json")
    entries = json.loads(config.read_text())[model]
    assert len(entries) == 5
    totals = []
    for entry in entries:
        found, _ = plan(device, path, f"{config}#{model}/{entry}", new_head=10)
        assert found["arena_bytes"] <= 1.05 * found["arena_lower_bound_bytes"]
        totals.append(found["total_ram_bytes"])
    assert totals == sorted(totals)


def test_published_scheme_trains(files: Path) -> None:
    """Explicit channel lists of a real scheme reach the board."""
    path = files / "mbv2-w0.35.mtm"
    image.write(import_mcunet(shared("data/mcunet/models_npz/mbv2-w0.35.npz"), 64), path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    np.savez(files / "noise.npz", x=x, y=np.arange(8) % 2)
    config = shared("data/mcunet/sparse_update_configs.json")
    events = train(files, "--model", path.name, "--new-head", 2, "--epochs", 3, "--lr", 0.01,
                   "--scheme", f"{config}#mbv2-w0.35/49kb", data="noise.npz")  # fmt: skip
    losses = [epoch["train_loss"] for epoch in only(events, "epoch")]
    assert losses[-1] < losses[0]
