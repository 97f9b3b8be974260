# The training loop: the engine does one sample, Python everything else.

import time

import _microtrain

from microtrain import dataset as datasets
from microtrain.fit import Fit
from microtrain.meter import Meter
from microtrain.optimizer import Optimizer
from microtrain.plan import Plan
from microtrain.scheme import name_of

# A long run hands control back this often, to report how it goes.
REPORT_MS = 1000
# How often `between` is called.
POLL_MS = 10


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
    cores: 2 runs halves of convolutions on both cores of an RP2040 or RP2350 (or in two threads of
    the virtual board): the same bytes in less time, for more RAM. While `_thread` has the other
    core a new trainer is refused, and one that is there goes on alone.
    optimizer: more keywords, those of microtrain.optimizer.Optimizer: momentum, weight_decay,
    accumulate, momentum_bits, qas. Without them it is plain SGD.
    What an earlier trainer of the model learned is kept, but its momentum is not. `steps` counts
    samples, `epoch` epochs that were completed.
    Raises ValueError for a scheme that does not fit, MemoryError with the numbers where the block
    does not fit, RuntimeError where the second core cannot be had.
    """

    def __init__(
        self, model, scheme="last", lr=0.03, loss="cross_entropy", seed=1, memory=None, wide=False,
        gradient_bits=8, cores=1, **optimizer
    ):  # fmt: skip
        self._optimizer = optimizer = Optimizer(**optimizer)
        self.model, self.scheme, self.loss_name, self.seed = model, scheme, loss, seed
        self.wide, self.gradient_bits = bool(wide), gradient_bits
        self.plan = Plan(
            model, scheme, loss, self.wide, gradient_bits, optimizer.momentum_bits, cores
        )
        self.session = _microtrain.Session(self.plan.engine, seed, memory)
        self.plan.info = self.plan.engine.info()  # an arena in pieces may need more
        if model.trainer:
            self.session.carry(model.trainer.session)
        self.lr = lr
        self.optimizer = optimizer
        self.epoch = 0
        self.steps = 0
        self.best = self.unfinished = None
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

    # A function to call between two samples of fit() and evaluate(), every POLL_MS: what a host
    # wants.
    between = None

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
            top = data.top_label
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
        if hasattr(data, "prefetch"):
            data.prefetch(order, start)
        mse, between, due = self.loss_name == "mse", self.between, time.ticks_ms()
        end = time.ticks_add(due, REPORT_MS)
        while start < stop:
            y = data.read(order[start], buffer) if buffer else data.seek(order[start])
            if settings:
                self.session.augment(buffer, settings)
            x = buffer or data.source
            do(x, x if y is None and mse else y)
            start += 1
            now = time.ticks_ms()
            if between and time.ticks_diff(now, due) >= 0:
                between()
                due = time.ticks_add(now, POLL_MS)
            if time.ticks_diff(end, now) <= 0:
                break

    def fit(
        self, data, epochs=1, validation=None, on_epoch=None, shuffle=True, schedule="constant",
        on_steps=None, warmup=0, patience=0, keep_best=False,
        augment=None, autosave=None,
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
        autosave: an Autosave, from whose file resume() goes on.

        on_steps(dict): called at least every 256th of the fit and every second with step, epoch,
        samples, loss, accuracy (means of these samples), lr and seconds.
        on_epoch(dict): epoch, steps, train_loss, train_accuracy, lr, samples_per_s, and val_loss,
        val_accuracy where `validation` is a Dataset (best_epoch, of the best so far, where
        patience or keep_best asks for it); without on_epoch a line is printed.
        Accuracies are None where labels are not classes.

        Ctrl-C ends it between two samples: the model is as good as the samples so far made it.
        Returns the last dict of on_epoch.
        """
        self._check_both(data, validation, patience or keep_best)
        if augment:
            augment.check(self.model)
        self.unfinished = None
        plan = {
            "samples": len(data), "epochs": epochs, "shuffle": bool(shuffle), "schedule": schedule,
            "warmup": warmup, "patience": patience, "keep_best": bool(keep_best),
        }  # fmt: skip
        return Fit(self, plan, augment).run(data, validation, on_epoch, on_steps, autosave)

    def resume(self, data, validation=None, on_epoch=None, on_steps=None, autosave=None):
        """Go on with the fit in which the checkpoint was saved that this trainer was restored
        from, `unfinished`, to the end: to the bytes, and the reports but for times, of a fit that
        was never interrupted. `data` and `validation` must be what that fit had. Returns what
        fit() returns. Raises ValueError."""
        fit = self.unfinished
        if not fit or self.steps != fit.steps:
            raise ValueError("no fit to go on with: restore() a checkpoint of an Autosave")
        self._check_both(data, validation, fit.best)
        if len(data) != fit.plan["samples"]:
            raise ValueError(
                "%r: the interrupted fit had %d samples" % (data, fit.plan["samples"])
            )
        self.unfinished = None
        return fit.run(data, validation, on_epoch, on_steps, autosave)

    def _check_both(self, data, validation, needed):
        self.check(data)
        if validation:
            self.check(validation)
        elif needed:
            raise ValueError("patience and keep_best go by validation: give a Dataset for it")

    def evaluate(self, data):
        """{"loss", "accuracy", "samples"} over a Dataset, without training."""
        self.check(data)
        meter = self.measure(data)
        return {"loss": meter.loss(), "accuracy": meter.accuracy(), "samples": meter.samples}

    def measure(self, data):
        # The Meter of evaluate().
        meter, order, buffer = Meter(self), range(len(data)), self._buffer(data)
        while meter.samples < len(data):
            self._run(data, order, meter.samples, len(data), self.session.score, buffer)
            meter.take(0, 0, 0)
        return meter

    def __repr__(self):
        return "<Trainer of %s: scheme %s, lr %g, %d steps, %d B RAM>" % (
            self.model.name, name_of(self.scheme), self.lr, self.steps, self.total_ram_bytes,
        )  # fmt: skip
