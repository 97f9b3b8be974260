# A fit that ends at any of its steps goes on to the same bytes; runs on the virtual board.
# Prints the number of steps, and of those after which it did not.

import microtrain as mt
from microtrain import checkpoint

TIMES = "samples_per_s"
data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
data._count, val._count = 16, 12


class Stop(Exception):
    pass


class Saver(mt.Autosave):
    def look(self, fit):
        if fit.done == self.step:
            self.save(fit)
            raise Stop


def fit(reports, autosave=None):
    trainer = mt.Trainer(
        mt.Model("/tiny.mtm"), "full", 0.05, seed=3, wide=True, momentum=0.9, accumulate=3
    )
    trainer.fit(
        data, 4, val, reports.append, schedule="cosine", warmup=5, patience=3, keep_best=True,
        augment=mt.Augment(True, 1, 9, 2), autosave=autosave,
    )  # fmt: skip
    return trainer


def end(trainer, reports):
    for report in reports:
        report.pop(TIMES)
    return checkpoint.sha256(trainer.model), reports, trainer.best, trainer.epoch, trainer.steps


whole = []
expected = end(fit(whole), whole)
steps, wrong = 16 * len(whole), 0
for step in range(1, steps):
    saver, reports = Saver("/e.mtc", notice=None), []
    saver.step = step
    try:
        fit(reports, saver)
        raise AssertionError("not stopped at %d" % step)
    except Stop:
        pass
    trainer = mt.Model("/tiny.mtm").restore("/e.mtc")
    trainer.resume(data, val, reports.append)
    wrong += end(trainer, reports) != expected
print(steps - 1, wrong)
