# One fit: what was asked for, its loop over epochs, and how far it is.

import time

from microtrain import dataset as datasets
from microtrain.augment import Augment
from microtrain.best import Best
from microtrain.meter import Meter, print_report
from microtrain.schedule import Schedule

PLAN = "samples", "epochs", "shuffle", "schedule", "warmup", "patience", "keep_best"


class Fit:
    """A fit of `trainer`. `plan`: a dict of PLAN, samples those of an epoch, the others as
    `Trainer.fit` has them. `done`: steps so far, the schedule's position. `extra`: what the
    Autosave was given. `steps`: the trainer's where it was saved. Raises ValueError, MemoryError.
    """

    def __init__(self, trainer, plan, augment=None):
        self.trainer, self.plan, self.augment = trainer, plan, augment
        self.total = plan["epochs"] * plan["samples"]
        self.rates = Schedule(plan["schedule"], self.total, plan["warmup"])
        self.done, self.steps, self.meter, self.extra = 0, 0, Meter(trainer), None
        self.best = None
        if plan["patience"] or plan["keep_best"]:
            self.best = Best(trainer, plan["patience"], plan["keep_best"])

    @property
    def epochs_left(self):
        return self.plan["epochs"] - self.done // self.plan["samples"]

    def position(self):
        """What read() makes it of again, as JSON has it; beside it the best epoch's state."""
        found = dict(self.plan, done=self.done, epoch_sums=self.meter.sums())
        if self.augment:
            found["augment"] = self.augment.stored()
        if self.best:
            found["best"] = self.best.stored()
        if self.extra is not None:
            found["extra"] = self.extra
        return found

    @staticmethod
    def read(trainer, stored):
        """The fit of `trainer` that stands at stored `position()`; `best.copy` is still to be
        filled where `best.kept`."""
        augment = stored.get("augment")
        plan = {name: stored[name] for name in PLAN}
        fit = Fit(trainer, plan, Augment.read(augment) if augment else None)
        fit.done, fit.steps, fit.extra = stored["done"], trainer.steps, stored.get("extra")
        fit.meter = Meter(trainer, stored["epoch_sums"])
        if fit.best and stored["best"]:
            fit.best.read(stored["best"])
        return fit

    def run(self, data, validation, on_epoch, on_steps, autosave):
        """`Trainer.fit` from here on."""
        trainer, plan, best, report = self.trainer, self.plan, self.best, None
        n, shuffle = plan["samples"], plan["shuffle"]
        buffer = trainer._buffer(data)
        if autosave:
            autosave.start(self)
        try:
            while self.done < self.total and not (best and best.exhausted):
                seed = trainer.seed + trainer.epoch + 1
                order = datasets.order(n, seed) if shuffle else range(n)
                if self.augment and not self.meter.samples:
                    self.augment.start(trainer.epoch)
                while self.meter.samples < n:
                    steps = self._steps(data, order, buffer)
                    if on_steps:
                        on_steps(steps)
                    if autosave and self.meter.samples < n:
                        autosave.look(self)
                trainer.epoch += 1
                report = self.meter.report(trainer)
                report["lr"] = trainer.lr * self.rates.at(self.done - 1)[0]
                if validation:
                    scores = trainer.measure(validation)
                    report["val_loss"], report["val_accuracy"] = scores.loss(), scores.accuracy()
                if best:
                    best.take(scores)
                    report["best_epoch"] = trainer.best["epoch"]
                (on_epoch or print_report)(report)
                self.meter = Meter(trainer)
                if autosave and self.done < self.total and not (best and best.exhausted):
                    autosave.look(self)
        except KeyboardInterrupt:
            # Not while an epoch ends: what is half done would be done twice.
            if autosave and self.meter.samples < n:
                autosave.save(self)
            raise
        finally:
            if best:
                best.restore()
            trainer.session.lr(trainer.lr)
        return report

    def _steps(self, data, order, buffer):
        # Samples of one rate, or as many as fit a second: their report.
        trainer, first = self.trainer, self.meter.samples
        factor, until = self.rates.at(self.done)
        lr = trainer.lr * factor
        trainer.session.lr(lr)
        stop = min(self.plan["samples"], first + until - self.done)
        settings = self.augment.settings if self.augment else None
        start = time.ticks_us()
        try:
            trainer._run(data, order, first, stop, trainer.session.step, buffer, settings)
        finally:
            seconds = time.ticks_diff(time.ticks_us(), start) / 1000000
            steps = self.meter.take(seconds, trainer.epoch + 1, lr)
            self.done += steps["samples"]
            trainer.steps += steps["samples"]
            steps["step"] = trainer.steps
        return steps
