"""A training run on a board."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microtrain import dataset
from microtrain.dataset import Dataset
from microtrain.errors import BoardReset, DataError, DeviceError
from microtrain.link.session import Progress
from microtrain.link.transport import Device
from microtrain.run.board import Event, Follower, OnEvent, begin, put, session_of
from microtrain.run.inputs import board_scheme, load_data, load_image
from microtrain.run.samples import SampleServer, describe

GRADIENT_BITS = (8, 12)
MOMENTUM_BITS = (8, 16)
CORES = (1, 2)
SCHEDULES = ("constant", "linear", "cosine", "halve")
STEP_SCHEDULE = "step=FACTOR@PERCENT,PERCENT..."
AUGMENTATIONS = {"flip": 1, "shift": 65535, "brightness": 255, "cutout": 65535}  # most of each
OPTIMIZER = ("qas", "momentum", "momentum_bits", "weight_decay", "accumulate")  # update rule
LOSSES = ("cross_entropy", "mse")


@dataclass(frozen=True)
class TrainOptions:
    """What to train, with what. None leaves a choice to the checkpoint, else to the board.

    lr: step size in real units. new_head: classes of a new classifier, which starts at zero.
    checkpoint: file to start from; where scheme and loss are its own, the run goes on exactly
    where that one ended. schedule: one of SCHEDULES, or as STEP_SCHEDULE says. warmup: steps at
    first in which the rate rises from 0. save: file for the checkpoint of the result. val_every:
    epochs between measurements on `val`, 0 for none but before and after. wide: one more byte for
    every trained weight, which brings it closer to fp32. gradient_bits: 8, or 12 in two bytes.
    patience: end after this many epochs in a row without a better accuracy on `val`, or loss where
    there is none; 0: never. keep_best: the best epoch by `val` is what remains; a copy of the
    trained state in the board's heap. Both measure every epoch. augment: random changes of the
    training samples, by name, AUGMENTATIONS; the run's seed makes them. qas: quantisation-aware
    scaling; False: SGD on the quantised parameters as they are, as in MCUNetV3's ablation.
    momentum, weight_decay: as in torch.optim.SGD. accumulate: samples whose mean gradient makes
    one update. momentum_bits: 8 or 16 a trained parameter, where one of momentum and accumulate
    is given; the board takes 16. autosave: seconds between two checkpoints on the board, from
    which a run goes on that a reset ended; 0: none. stream: the data sets stay here, and the board
    gets each sample when it needs it. cores: 2 for both of a board that has two: the same bytes.
    """

    model: Path
    data: Path
    epochs: int
    val: Path | None = None
    scheme: str | None = None
    lr: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    loss: str | None = None
    seed: int | None = None
    new_head: int | None = None
    checkpoint: Path | None = None
    save: Path | None = None
    val_every: int = 1
    wide: bool = False
    gradient_bits: int | None = None
    patience: int = 0
    keep_best: bool = False
    augment: Mapping[str, int] = field(default_factory=dict)
    qas: bool | None = None
    momentum: float | None = None
    momentum_bits: int | None = None
    weight_decay: float | None = None
    accumulate: int | None = None
    autosave: float = 60.0
    stream: bool = False
    cores: int = 1


@dataclass(frozen=True)
class Result:
    """The last event of a run. interrupted: Ctrl-C ended it before its last step."""

    done: Event
    interrupted: bool


class Training:
    """A run that is ready to start: everything it needs lies on the board.

    total_steps: samples it will learn from. board_options: of the board's function train. Raises
    MicrotrainError.
    """

    def __init__(
        self, device: Device, options: TrainOptions, progress: Progress | None = None
    ) -> None:
        self.device, self.options = device, options
        if options.new_head and options.checkpoint:
            raise DataError("--new-head forgets what --checkpoint holds: give one of the two")
        if (options.patience or options.keep_best) and not options.val:
            raise DataError("--patience and --keep-best go by validation: give --val")
        image = load_image(options.model)
        scheme = board_scheme(options.scheme, image.graph) if options.scheme else None
        names: dict[str, bytes] = {}

        def send(name: str, data: bytes) -> str:
            if names.setdefault(name, data) != data:
                name = f"val-{name}"  # two files of one name
            return put(device, name, data, progress)

        data = load_data(options.data, image.graph)
        self._streamed: list[Dataset] = []

        def offer(data: Dataset, name: str) -> str | dict[str, Any]:
            if not options.stream:
                return send(f"{name}.mtd", dataset.to_bytes(data))
            data.validate()
            self._streamed.append(data)
            return describe(data, len(self._streamed) - 1, name)

        self.total_steps = options.epochs * len(data)
        self.image_sha256 = hashlib.sha256(image.data).hexdigest()
        self.board_options: dict[str, Any] = {
            "model": send(options.model.name, image.data),
            "data": offer(data, options.data.stem),
            "val": None, "checkpoint": None, "scheme": scheme,
            "save": f"/{options.save.name}" if options.save else None,
        }  # fmt: skip
        if options.val:
            validation = load_data(options.val, image.graph)
            self.board_options["val"] = offer(validation, options.val.stem)
        if options.checkpoint:
            content = options.checkpoint.read_bytes()
            self.board_options["checkpoint"] = send(options.checkpoint.name, content)
        self.board_options["augment"] = dict(options.augment)
        self.board_options["optimizer"] = {
            name: value for name in OPTIMIZER if (value := getattr(options, name)) is not None
        }
        for name in ("epochs", "lr", "schedule", "warmup", "loss", "seed", "new_head", "val_every",
                     "wide", "gradient_bits", "patience", "keep_best", "autosave",
                     "cores"):  # fmt: skip
            self.board_options[name] = getattr(options, name)

    def start(self) -> None:
        """Begin, and return at once; follow() comes next, now or later. Raises DeviceError."""
        self.device.reset()  # what uploading left behind must not lie in the arena's way
        # Again where a board has given its host up, on a machine too busy to talk to it.
        self.device.linked(
            lambda _: _begin(self.device, "train", self.board_options, self._streamed)
        )

    def run(self, on_event: OnEvent) -> Result:
        """Train. `on_event` gets every event: step, epoch, eval, best, log, resumed, and at last
        done.

        A board that is reset goes on from its last checkpoint, to the same bytes. Ctrl-C stops it
        between two samples; what it has learned is measured and saved all the same.
        KeyboardInterrupt is raised only where there is nothing to report.
        """
        self.start()
        return follow(
            self.device, on_event, self._streamed, self.options.save, self.image_sha256
        )


def _begin(
    device: Device, function: str, options: Mapping[str, Any], streamed: Sequence[Dataset]
) -> None:
    if streamed:
        SampleServer(session_of(device), streamed)
    begin(device, function, options)


def follow(
    device: Device,
    on_event: OnEvent,
    streamed: Sequence[Dataset] = (),
    save: Path | None = None,
    image_sha256: str | None = None,
    *,
    stop: bool = True,
) -> Result:
    """Follow the training that the board runs to its end; as Training.run.

    streamed: the data sets that the board has not: training, validation. save: where the
    checkpoint of the result goes, which the board keeps under the same name. stop: Ctrl-C ends
    the run; else KeyboardInterrupt is raised and it goes on.
    """
    done: Event = {}
    saved: str | None = None
    interrupted = False

    def take(event: Event) -> None:
        nonlocal saved
        event = {"event": event.pop("event")} | event
        if event["event"] == "done":
            saved = event.pop("saved")
            done.update(event | ({"image_sha256": image_sha256} if image_sha256 else {}))
        else:
            on_event(event)

    while True:
        try:
            Follower(device.session, take).to_the_end(stop=stop)
        except BoardReset as error:
            take({"event": "log", "text": f"{error}; it goes on from its last checkpoint"})
            device.rejoin()
            _begin(device, "resume", {}, streamed)
            continue
        except KeyboardInterrupt:
            interrupted = True
            if not done or not stop:
                raise
        break
    if not done:
        raise DeviceError(f"{device.port}: the run ended without its last event")
    if save:
        if not saved:
            raise DeviceError(f"{save}: this run was begun without --save, and saves nothing")
        digest = device.pull(saved, save)
        if digest != done["checkpoint_sha256"]:
            raise DeviceError(f"{save}: not the checkpoint that the run made")
    on_event(done)
    return Result(done, interrupted)


def attach(
    device: Device,
    on_event: OnEvent,
    streamed: Sequence[Dataset] = (),
    save: Path | None = None,
    control: Mapping[str, Any] | None = None,
) -> Result | None:
    """Follow the run of a board that a host has left, or that a reset ended: then it goes on from
    its last checkpoint. device: opened with attach. Otherwise as follow(); Ctrl-C leaves the run
    as it is.

    on_event gets first what the board still has of the run's events. control: said to the run:
    stop, pause, resume, lr; with pause None is returned at once. Raises RemoteError where there is
    no run.
    """
    run = device.board.run if device.attach() and device.board else None
    if run is None:
        _begin(device, "resume", {}, streamed)
    session = session_of(device)
    if run is not None:
        if streamed:
            SampleServer(session, streamed)
        first = session.request("events", **{"from": run["event"]})["first"]
        if first > run["event"]:
            text = f"{first - run['event']} earlier events are no longer on the board"
            on_event({"event": "log", "text": text})
    if control:
        session.post("control", **control)
        if control.get("pause"):
            session.flush()
            return None
    return follow(device, on_event, streamed, save, stop=False)


def train(device: Device, options: TrainOptions, on_event: OnEvent) -> Result:
    """Prepare and run. Raises MicrotrainError."""
    return Training(device, options).run(on_event)
