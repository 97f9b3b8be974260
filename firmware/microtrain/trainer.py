# The training loop: the engine does one sample, Python everything else.

import time

import _microtrain
from microtrain import dataset as datasets
from microtrain.model import LOSSES, Plan
from microtrain.scheme import name_of


class Trainer:
    """Trains `model` with plain SGD, one sample at a time, updating as gradients arrive.

    scheme: "last", "bias", "full" or a dict (microtrain.scheme). lr: step size in real units, as in PyTorch at batch 1.
    loss: "cross_entropy" (labels are class indices) or "mse" (targets are array("f"); None: the input itself).
    memory: a bytearray for the one block it needs, else it comes from the heap. What an earlier trainer of the model learned is kept.
    Raises ValueError for a scheme that does not fit, MemoryError with the numbers where the block does not fit.
    """

    def __init__(self, model, scheme="last", lr=0.03, loss="cross_entropy", seed=1, memory=None):
        if loss not in LOSSES:
            raise ValueError('loss %r: use "cross_entropy" or "mse"' % (loss,))
        self.model, self.scheme, self.loss_name, self.seed = model, scheme, loss, seed
        self.plan = Plan(model, scheme, loss)
        self.session = _microtrain.Session(self.plan.engine, seed, memory)
        if model.session:
            self.session.carry(model.session)
        self.lr = lr
        self.epoch = 0
        self.steps = 0
        model.session, model.scheme, model.loss_name = self.session, scheme, loss

    @property
    def total_ram_bytes(self):
        return self.plan.info["total_ram_bytes"]

    @property
    def lr(self):
        return self._lr

    @lr.setter
    def lr(self, value):
        self.session.lr(value)
        self._lr = value

    def step(self, x, y):
        """One sample: forward, loss, backward and update. Returns its loss. The returned number is the only allocation."""
        self.steps += 1
        return self.session.step(x, self._target(x, y)) / 65536

    def forward(self, x):
        """memoryview of the int32 logits (16 fraction bits) for x."""
        self.session.forward(x)
        return self.session.output()

    def loss(self, y):
        """Loss of the last forward(); prepares its gradient."""
        return self.session.loss(y) / 65536

    def backward(self):
        """Gradients of the last loss(). Each trained tensor is updated as soon as its gradient is known, so that none is stored."""
        self.session.backward()

    def _target(self, x, y):
        return x if y is None and self.loss_name == "mse" else y

    def _check(self, data):
        model = self.model
        if tuple(data.shape) != model.input_shape:
            raise ValueError("%r does not fit %s, which takes %dx%dx%d" % ((data, model.name) + model.input_shape))
        if data.scale is not None and (abs(data.scale / model.input_scale - 1) > 1e-3 or data.zero_point != model.input_zero_point):
            raise ValueError(
                "%r was quantised with scale %g, zero point %d; %s needs %g, %d: make it again with --model"
                % (data, data.scale, data.zero_point, model.name, model.input_scale, model.input_zero_point)
            )

    def _run(self, data, order, do):
        # Everything is allocated before the loop; Ctrl-C is raised between two samples.
        buffer = bytearray(data.size)
        mse = self.loss_name == "mse"
        for i in order:
            y = data.read(i, buffer)
            do(buffer, buffer if y is None and mse else y)

    def fit(self, data, epochs=1, validation=None, on_epoch=None, shuffle=True):
        """Train `epochs` times over a Dataset. After each epoch `on_epoch(dict)` gets epoch, steps, train_loss, train_accuracy,
        samples_per_s, and val_loss, val_accuracy where `validation` is a Dataset; without on_epoch a line is printed.
        Ctrl-C ends it between two samples: the model is as good as the samples so far made it. Returns the last dict."""
        self._check(data)
        report = None
        for _ in range(epochs):
            self.epoch += 1
            order = datasets.order(len(data), self.seed + self.epoch) if shuffle else range(len(data))
            self.session.stats()
            start = time.ticks_ms()
            self._run(data, order, self.session.step)
            elapsed = time.ticks_diff(time.ticks_ms(), start)
            loss, correct, n = self.session.stats()
            self.steps += n
            report = {
                "epoch": self.epoch, "steps": self.steps, "train_loss": loss, "train_accuracy": correct / n, "lr": self.lr,
                "samples_per_s": 1000 * n / max(elapsed, 1),
            }  # fmt: skip
            if validation:
                scores = self.evaluate(validation)
                report["val_loss"], report["val_accuracy"] = scores["loss"], scores["accuracy"]
            (on_epoch or _print_report)(report)
        return report

    def evaluate(self, data):
        """{"loss", "accuracy", "samples"} over a Dataset, without training."""
        self._check(data)
        self.session.stats()
        self._run(data, range(len(data)), self.session.score)
        loss, correct, n = self.session.stats()
        return {"loss": loss, "accuracy": correct / n, "samples": n}

    def __repr__(self):
        return "<Trainer of %s: scheme %s, lr %g, %d steps, %d B RAM>" % (
            self.model.name, name_of(self.scheme), self.lr, self.steps, self.total_ram_bytes,
        )  # fmt: skip


def _print_report(report):
    line = "epoch %(epoch)d: loss %(train_loss).4f, accuracy %(train_accuracy).3f, %(samples_per_s).0f samples/s" % report
    if "val_accuracy" in report:
        line += ", validation %(val_accuracy).3f" % report
    print(line)
