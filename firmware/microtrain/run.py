# Runs that a host starts over the link. Each function reports events, dicts.
# `options` are a dict; files are paths on the board.

import json
import os
import time

from microtrain import checkpoint, link
from microtrain.augment import Augment
from microtrain.autosave import Autosave
from microtrain.dataset import Dataset
from microtrain.model import Model
from microtrain.optimizer import Optimizer
from microtrain.requests import rename
from microtrain.trainer import Trainer

VERSION = 5  # of the functions, their options and events; the host names the one it knows
PREDICTIONS = 64  # in one event
# What resume() goes on from.
RECORD, CHECKPOINT = "/microtrain-run.json", "/microtrain-run.mtc"
_run = None
_paused = False


def call(version, function, options):
    """Run a function of this module for a host program that knows `version` of them."""
    if version != VERSION:
        raise ValueError(
            "the firmware's runs have version %d, the host program's %d: flash the firmware that"
            " belongs to it" % (VERSION, version)
        )
    globals()[function](options)


class Stopped(Exception):
    """The host wants the run to end."""


def control(request):
    """A request of the host while a run is under way: stop, pause, resume, lr. Raises Stopped."""
    global _paused
    if request.get("stop"):
        raise Stopped
    if "lr" in request and _run:
        _run.trainer.lr = request["lr"]
    if request.get("pause") and not _paused:
        _paused = True
        while _paused:
            link.current.poll()
            time.sleep_ms(1)
    elif request.get("resume"):
        _paused = False


def _poll():
    if link.current:
        link.current.poll()


def _emit(event, values):
    values["event"] = event
    if link.current:
        link.current.emit(values)
    else:
        print(json.dumps(values))


def _data(source):
    # The data file of that name, or the host's data set that a dict describes.
    if isinstance(source, dict):
        from microtrain.remote import Remote

        return Remote(link.current, source)
    return Dataset(source)


def _scheme(text):
    # A name, or JSON with explicit layers.
    return json.loads(text) if text.startswith("{") else text


def _model(options):
    model = Model(options["model"])
    if options.get("new_head"):
        model.new_head(options["new_head"])
    return model


def plan(options):
    """Options: model, scheme, new_head, loss, wide, gradient_bits, momentum_bits, cores; others
    (schemes to compare).

    Prints the plan, then scheme and total_ram_bytes of each other one.
    """
    model = _model(options)
    rest = tuple(options[k] for k in ("loss", "wide", "gradient_bits", "momentum_bits", "cores"))
    link.current.emit_text(model.plan(_scheme(options["scheme"]), *rest).json())
    for scheme in options["others"]:
        total = model.plan(scheme, *rest).info["total_ram_bytes"]
        _emit("other", {"scheme": scheme, "total_ram_bytes": total})


def evaluate(options):
    """Options: model, data, checkpoint, outputs (bool).

    Reports "predictions" (first, classes), sends the raw outputs as bytes where asked, and reports
    "done" with samples, classes, bytes per output and samples_per_s.
    """
    model = _model(options)
    if options["checkpoint"]:
        model.restore(options["checkpoint"])
    data = _data(options["data"])
    model.check(data)
    runner = model.runner()
    predicted, first, seconds = [], 0, 0.0
    order = range(len(data))
    data.prefetch(order, 0)
    for i in order:
        data.seek(i)
        start = time.ticks_us()
        runner.forward(data.source)
        seconds += time.ticks_diff(time.ticks_us(), start) / 1000000
        predicted.append(runner.argmax())
        if options["outputs"]:
            link.current.send_bytes(runner.output())
        if len(predicted) == PREDICTIONS or i + 1 == len(data):
            _emit("predictions", {"first": first, "classes": predicted})
            predicted, first = [], i + 1
        _poll()
    _emit("done", {
        "samples": len(data), "classes": model.classes, "samples_per_s": len(data) / seconds,
        "output_bytes": 4 if runner.logits else 1,
    })  # fmt: skip


class Run:
    """One training run. `finish` may be called after an interrupt as after a complete fit."""

    def __init__(self, options):
        model = _model(options)
        self.options = options
        self.trainer = self._trainer(model)
        self.trainer.between = _poll
        self.data = _data(options["data"])
        self.validation = _data(options["val"]) if options["val"] else None
        self.augment = None
        if options["augment"]:
            self.augment = Augment(seed=self.trainer.seed, **options["augment"])
            self.augment.check(model)
        self.trainer.check(self.data)
        if self.validation:
            self.trainer.check(self.validation)
        # fit() measures every epoch itself where it goes by that.
        self.follows = bool(options["patience"] or options["keep_best"])
        self.started = False
        self.before, self.samples, self.seconds = None, 0, 0.0
        self.epoch, self.epoch_samples, self.epoch_loss = 0, 0, 0.0
        self.train_loss = None
        fit = self.trainer.unfinished
        if options.get("resumed") and fit:
            self.before, self.samples, self.seconds = fit.extra
            self.epoch = self.trainer.epoch + 1
            self.epoch_samples = fit.meter.samples
            self.epoch_loss = self.epoch_samples * (fit.meter.loss() or 0)

    def _trainer(self, model):
        # One that goes on with a checkpoint, unless another scheme or loss is asked for.
        options, found = self.options, None
        if options["checkpoint"]:
            found = model.restore(options["checkpoint"], self._notice, options["cores"])
        if options.get("resumed"):
            return found
        scheme = _scheme(options["scheme"]) if options["scheme"] else None
        loss = options["loss"] or (found.loss_name if found else "cross_entropy")
        wide = options["wide"] or bool(found and found.wide)
        bits = options["gradient_bits"] or (found.gradient_bits if found else 8)
        settings = found.optimizer.changed() if found else {}
        settings.update(options["optimizer"])
        optimizer = Optimizer(**settings)
        chosen = loss, wide, bits, optimizer.momentum_bits
        same = found and chosen == (
            found.loss_name, found.wide, found.gradient_bits, found.optimizer.momentum_bits
        )  # fmt: skip
        if same and scheme in (None, found.scheme):
            if options["lr"] is not None:
                found.lr = options["lr"]
            if options["seed"] is not None:
                found.seed = options["seed"]
            found.optimizer = optimizer
            return found
        arguments = {k: options[k] for k in ("lr", "seed", "cores") if options[k] is not None}
        scheme = scheme or (found.scheme if found else "last")
        arguments.update(optimizer.changed())
        return Trainer(model, scheme, loss=loss, wide=wide, gradient_bits=bits, **arguments)

    def evaluate(self, when):
        if not self.validation:
            return None
        scores = self.trainer.evaluate(self.validation)
        self._emit_scores(scores, when)
        return scores["accuracy"]

    def _emit_scores(self, scores, when):
        _emit("eval", dict(
            scores, samples=len(self.validation), when=when, epoch=self.trainer.epoch,
            step=self.trainer.steps,
        ))  # fmt: skip

    def _on_steps(self, steps):
        if steps["epoch"] != self.epoch:
            self.epoch, self.epoch_samples, self.epoch_loss = steps["epoch"], 0, 0.0
        self.samples += steps["samples"]
        self.seconds += steps["seconds"]
        self.epoch_samples += steps["samples"]
        self.epoch_loss += steps["loss"] * steps["samples"]
        self.train_loss = self.epoch_loss / self.epoch_samples if self.epoch_samples else None
        _emit("step", steps)

    def _on_epoch(self, report):
        self.train_loss = report["train_loss"]
        if self.follows:
            scores = {name: report.pop("val_" + name) for name in ("loss", "accuracy")}
            _emit("epoch", report)
            self._emit_scores(scores, "epoch")
            return
        _emit("epoch", report)
        every, epochs = self.options["val_every"], self.last_epoch
        if every and report["epoch"] % every == 0 and report["epoch"] != epochs:
            self.evaluate("epoch")

    def fit(self):
        trainer, options = self.trainer, self.options
        autosave = None
        if options["autosave"]:
            autosave = Autosave(
                CHECKPOINT, options["autosave"], self._extra, notice=self._notice, late=True
            )
        validation = self.validation if self.follows else None
        named = {"on_epoch": self._on_epoch, "on_steps": self._on_steps, "autosave": autosave}
        if options.get("resumed") and trainer.unfinished:
            fit = trainer.unfinished
            self.started, self.last_epoch = True, trainer.epoch + fit.epochs_left
            _emit("resumed", {"step": trainer.steps, "epoch": trainer.epoch})
            trainer.resume(self.data, validation, **named)
            return
        self.before = self.evaluate("before")
        self.started, self.last_epoch = True, trainer.epoch + options["epochs"]
        named.update({k: options[k] for k in ("schedule", "warmup", "patience", "keep_best")})
        trainer.fit(self.data, options["epochs"], validation, augment=self.augment, **named)

    @staticmethod
    def _notice(text):
        _emit("log", {"text": text})

    def _extra(self):
        return self.before, self.samples, self.seconds

    def finish(self):
        trainer = self.trainer
        if trainer.best:
            _emit("best", dict(trainer.best, state_bytes=trainer.state_bytes))
        after = self.evaluate("after")
        if self.options["save"]:
            trainer.model.save(self.options["save"])
        done = {
            "steps": trainer.steps, "epochs": trainer.epoch,
            "train_loss": self.train_loss, "saved": self.options["save"],
            "val_accuracy_before": self.before, "val_accuracy_after": after,
            "total_ram_bytes": trainer.total_ram_bytes,
            "samples_per_s": self.samples / self.seconds if self.seconds else None,
            "checkpoint_sha256": checkpoint.sha256(trainer.model),
        }  # fmt: skip
        if self.options["autosave"]:
            _record({"options": self.options, "done": done})
            for path in CHECKPOINT, CHECKPOINT + ".old":
                _remove(path)
        _emit("done", done)


def _record(value):
    # What a board that was reset goes on with.
    with open(RECORD + ".part", "w") as f:
        json.dump(value, f)
    rename(RECORD + ".part", RECORD)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def train(options):
    """Options: model, data, epochs, cores, and, None where not given: val, scheme, loss, lr, seed,
    new_head, checkpoint, save, gradient_bits; schedule; warmup (steps); wide; val_every (epochs,
    0: only before and after); patience (epochs), keep_best: both measure every epoch; autosave
    (seconds between two checkpoints that resume() goes on from, 0: none); augment, a dict of
    Augment's arguments but the seed, which is the trainer's; optimizer, a dict of Optimizer's
    arguments, without those that the checkpoint decides. data, val: paths, or dicts that describe
    data sets of the host (microtrain.remote).

    Reports "eval", "step" and "epoch" events, "best" (epoch, steps, loss, accuracy, kept,
    state_bytes) where patience or keep_best is given, and "done". Where the host ends it, what was
    learned so far is measured and saved all the same; nothing is reported where training had not
    begun. Ctrl-C does the same without autosave; with it resume() goes on.
    """
    for path in RECORD, CHECKPOINT, CHECKPOINT + ".old":
        _remove(path)
    if options["autosave"]:
        _record({"options": options})
    _train(options)


def is_unfinished():
    """Whether resume() has a run to go on with."""
    try:
        with open(RECORD) as f:
            return "done" not in json.load(f)
    except (OSError, ValueError):
        return False


def resume(_=None):
    """Go on with the run that a reset ended, from its last checkpoint, or from its beginning: to
    the same bytes as without the reset. Reports "resumed" (step, epoch) and what train() does; the
    last event alone where the run had ended. Raises ValueError where there is none."""
    try:
        with open(RECORD) as f:
            found = json.load(f)
    except OSError:
        raise ValueError("no run to go on with: none was begun with autosave") from None
    if "done" in found:
        return _emit("done", found["done"])
    options = found["options"]
    for path in CHECKPOINT, CHECKPOINT + ".part", CHECKPOINT + ".old":
        try:
            os.stat(path)
        except OSError:
            continue
        options = dict(options, resumed=True, new_head=None, checkpoint=CHECKPOINT)
        break
    _train(options)


def _train(options):
    global _run
    _run = None
    _run = run = Run(options)
    try:
        run.fit()
    except Stopped:
        pass
    except KeyboardInterrupt:
        if options["autosave"]:
            raise  # resume() goes on with it
    _run = None
    if run.started:
        run.finish()
