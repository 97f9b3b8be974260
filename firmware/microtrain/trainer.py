# The training loop: the engine does one sample, Python everything else.

import time

import _microtrain

from microtrain import dataset as datasets
from microtrain.best import Best
from microtrain.optimizer import Optimizer
from microtrain.plan import Plan
from microtrain.schedule import Schedule
from microtrain.scheme import name_of

# A long run hands control back this often, to report how it goes.
REPORT_MS = 1000


class Trainer:
    """Trains `model` with SGD, one sample at a time, updating as gradients arrive.

    scheme: "last", "bias", "full" or a dict (microtrain.scheme). lr: step size in real units, as
    in PyTorch at batch 1. loss: "cross_entropy" (labels are class indices) or "mse" (targets are
    array("f"); None: the input itself). seed: of the order of samples and of stochastic rounding.
    memory: a bytearray for the one block it needs; or a tuple of 2 to 5 of them, the first for the
    trained state, the others for the arena. Else the heap gives it, in pieces if need be.
    wide: 8 more bits, one byte, for every trained weight; otherwise only the head's have them.
    Closer to fp32 at high rates and over long runs.
    gradient_bits: 8, or 12 in two bytes each: for gradients that pass dozens of operators.
    optimizer: more keywords, those of microtrain.optimizer.Optimizer: momentum, weight_decay,
    accumulate, momentum_bits, qas. Without them it is plain SGD.
    What an earlier trainer of the model learned is kept, but its momentum is not. `steps` counts
    samples, `epoch` epochs that were completed.
    Raises ValueError for a scheme that does not fit, MemoryError with the numbers where the block
    does not fit.
    """

    def __init__(
        self, model, scheme="last", lr=0.03, loss="cross_entropy", seed=1, memory=None, wide=False,
        gradient_bits=8, **optimizer
    ):  # fmt: skip
        self._optimizer = optimizer = Optimizer(**optimizer)
        self.model, self.scheme, self.loss_name, self.seed = model, scheme, loss, seed
        self.wide, self.gradient_bits = bool(wide), gradient_bits
        self.plan = Plan(
            model, scheme, loss, self.wide, gradient_bits, optimizer.momentum_bits
        )
        self.session = _microtrain.Session(self.plan.engine, seed, memory)
        self.plan.info = self.plan.engine.info()  # an arena in pieces may need more
        if model.trainer:
            self.session.carry(model.trainer.session)
        self.lr = lr
        self.optimizer = optimizer
        self.epoch = 0
        self.steps = 0
        self.best = None
        model.trainer = self

    @property
    def total_ram_bytes(self):
        return self.plan.info["total_ram_bytes"]

    @property
    def state_bytes(self):
        """Bytes of what training changes: of a checkpoint's state, and of keep_best's copy."""
        return len(self.session.state())

    @property
    def lr(self):
        return self._lr

    @lr.setter
    def lr(self, value):
        self.session.lr(value)
        self._lr = value

    @property
    def optimizer(self):
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value):
        planned = self._optimizer.momentum_bits
        if value.momentum_bits != planned:
            raise ValueError(
                "momentum_bits %d: this trainer has %d" % (value.momentum_bits, planned)
            )
        value.apply(self.session)
        self._optimizer = value

    def step(self, x, y):
        """One sample: forward, loss, backward, update. Returns its loss, the only allocation."""
        loss = self.session.step(x, self._target(x, y))
        self.steps += 1
        return loss / 65536

    def forward(self, x):
        """memoryview of the int32 logits (16 fraction bits) for x."""
        self.session.forward(x)
        return self.session.output()

    def loss(self, y):
        """Loss of the last forward(); prepares its gradient."""
        return self.session.loss(y) / 65536

    def backward(self):
        """Gradients of the last loss(). Each trained tensor changes as soon as its gradient is
        known, so that no gradient of a weight is ever stored."""
        self.session.backward()

    def update(self):
        """End the step that forward(), loss() and backward() made: it is counted. The tensors
        themselves changed in backward()."""
        self.steps += 1

    def _target(self, x, y):
        return x if y is None and self.loss_name == "mse" else y

    def check(self, data):
        """Raise ValueError, with the numbers, for a Dataset that this cannot learn from."""
        self.model.check(data)
        if data.kind == datasets.CLASS_LABELS:
            if self.loss_name == "mse":
                raise ValueError('%r has classes: use loss="cross_entropy"' % data)
            top = max(data.labels) if len(data) else 0
            if top >= self.model.classes:
                raise ValueError(
                    "%r has label %d, %s has %d classes: use new_head(classes=%d)"
                    % (data, top, self.model.name, self.model.classes, top + 1)
                )
        elif self.loss_name == "cross_entropy":
            raise ValueError('%r has no classes: use loss="mse"' % data)

    def _buffer(self, data):
        # Where samples are read to; None: the engine takes them from data.source. A sample that is
        # the target as well is needed when the forward pass has overwritten it.
        target = self.loss_name == "mse" and data.kind == datasets.NO_LABELS
        if hasattr(data, "seek") and not target:
            return None
        return self.session.input if self.session.input and not target else bytearray(data.size)

    def _run(self, data, order, start, stop, do, buffer, settings=None):
        # Samples start..stop-1 of the order, or as many as fit REPORT_MS. Nothing here allocates,
        # and Ctrl-C is raised between two samples.
        mse = self.loss_name == "mse"
        end = time.ticks_add(time.ticks_ms(), REPORT_MS)
        while start < stop:
            y = data.read(order[start], buffer) if buffer else data.seek(order[start])
            if settings:
                self.session.augment(buffer, settings)
            x = buffer or data.source
            do(x, x if y is None and mse else y)
            start += 1
            if time.ticks_diff(end, time.ticks_ms()) <= 0:
                break

    def fit(
        self, data, epochs=1, validation=None, on_epoch=None, shuffle=True, schedule="constant",
        on_steps=None, warmup=0, patience=0, keep_best=False,
        augment=None,
    ):  # fmt: skip
        """Train `epochs` times over a Dataset.

        schedule: "constant"; "linear", lr · (1 - step / steps of this fit); "cosine",
        lr · 0.5 (1 + cos(pi · step / steps)); "step=0.1@50,75", a tenth of the rate at 50 and
        again at 75 % of the steps; "halve", half the rate at 50, 70, 85 and 95 %.
        warmup: first steps, in which the rate rises from 0, lr · step / warmup; the schedule
        follows over the others. Each part changes the rate at most 256 times, every
        steps // 256 + 1 of its samples. `lr` stays what it was.
        patience: end after this many epochs in a row without a better validation accuracy (loss,
        where there is none); 0: never. keep_best: what remains in the end, after Ctrl-C too, is
        the best of the completed epochs, with its `epoch` and `steps`; this takes a copy of the
        trained state, `state_bytes` of heap, beside `total_ram_bytes` while fit() runs. Both need
        `validation`; `best` then has epoch, steps, loss, accuracy of the best epoch, and kept.
        augment: an Augment, which changes every sample before its step, none of `validation`.

        on_steps(dict): called at least every 256th of the fit and every second with step, epoch,
        samples, loss, accuracy (means of these samples), lr and seconds.
        on_epoch(dict): epoch, steps, train_loss, train_accuracy, lr, samples_per_s, and val_loss,
        val_accuracy where `validation` is a Dataset (best_epoch, of the best so far, where
        patience or keep_best asks for it); without on_epoch a line is printed.
        Accuracies are None where labels are not classes.

        Ctrl-C ends it between two samples: the model is as good as the samples so far made it.
        Returns the last dict of on_epoch.
        """
        self.check(data)
        if validation:
            self.check(validation)
        elif patience or keep_best:
            raise ValueError("patience and keep_best go by validation: give a Dataset for it")
        if augment:
            augment.check(self.model)
        settings = augment.settings if augment else None
        n, done = len(data), 0
        rates = Schedule(schedule, epochs * n, warmup)
        buffer, report = self._buffer(data), None
        best = Best(self, patience, keep_best) if patience or keep_best else None
        try:
            for _ in range(epochs):
                order = datasets.order(n, self.seed + self.epoch + 1) if shuffle else range(n)
                if augment:
                    augment.start(self.epoch)
                epoch = Meter(self)
                while epoch.samples < n:
                    factor, until = rates.at(done)
                    lr = self._lr * factor
                    self.session.lr(lr)
                    stop = min(n, epoch.samples + until - done)
                    start = time.ticks_us()
                    try:
                        self._run(
                            data, order, epoch.samples, stop, self.session.step, buffer, settings
                        )
                    finally:
                        seconds = time.ticks_diff(time.ticks_us(), start) / 1000000
                        steps = epoch.take(seconds, self.epoch + 1, lr)
                        done += steps["samples"]
                        self.steps += steps["samples"]
                        steps["step"] = self.steps
                    if on_steps:
                        on_steps(steps)
                self.epoch += 1
                report = epoch.report(self)
                report["lr"] = lr
                if validation:
                    scores = self.evaluate(validation)
                    report["val_loss"], report["val_accuracy"] = scores["loss"], scores["accuracy"]
                if best:
                    best.take(report)
                    report["best_epoch"] = self.best["epoch"]
                (on_epoch or _print_report)(report)
                if best and best.exhausted:
                    break
        finally:
            if best:
                best.restore()
            self.session.lr(self._lr)
        return report

    def evaluate(self, data):
        """{"loss", "accuracy", "samples"} over a Dataset, without training."""
        self.check(data)
        meter, order, buffer = Meter(self), range(len(data)), self._buffer(data)
        while meter.samples < len(data):
            self._run(data, order, meter.samples, len(data), self.session.score, buffer)
            meter.take(0, 0, 0)
        return {"loss": meter.loss(), "accuracy": meter.accuracy(), "samples": meter.samples}

    def __repr__(self):
        return "<Trainer of %s: scheme %s, lr %g, %d steps, %d B RAM>" % (
            self.model.name, name_of(self.scheme), self.lr, self.steps, self.total_ram_bytes,
        )  # fmt: skip


class Meter:
    # Sums of what the engine counts between two looks at it.

    def __init__(self, trainer):
        self.session = trainer.session
        self.classes = trainer.loss_name == "cross_entropy"
        self.session.stats()
        self.samples = self.correct = 0
        self.loss_sum = self.seconds = 0.0

    def take(self, seconds, epoch, lr):
        loss, correct, samples = self.session.stats()
        self.samples += samples
        self.correct += correct
        self.loss_sum += loss * samples
        self.seconds += seconds
        return {
            "epoch": epoch, "samples": samples, "loss": loss, "lr": lr, "seconds": seconds,
            "accuracy": correct / samples if self.classes and samples else None,
        }  # fmt: skip

    def loss(self):
        return self.loss_sum / self.samples if self.samples else None

    def accuracy(self):
        return self.correct / self.samples if self.classes and self.samples else None

    def report(self, trainer):
        return {
            "epoch": trainer.epoch, "steps": trainer.steps, "train_loss": self.loss(),
            "train_accuracy": self.accuracy(),
            "samples_per_s": self.samples / max(self.seconds, 1e-6),
        }  # fmt: skip


def _print_report(report):
    line = "epoch %(epoch)d: loss %(train_loss).4f, %(samples_per_s).0f samples/s" % report
    if report["train_accuracy"] is not None:
        line += ", accuracy %(train_accuracy).3f" % report
    if report.get("val_accuracy") is not None:
        line += ", validation %(val_accuracy).3f" % report
    elif "val_loss" in report:
        line += ", validation loss %(val_loss).4f" % report
    print(line)
