# A fit that a reset ends goes on from its last checkpoint: the same bytes, the same reports.

import gc
import os

from checks import raises

import microtrain as mt
from microtrain import checkpoint

data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
vectors = mt.Dataset("/vectors.mtd")
TIMES = "samples_per_s", "seconds"


class Cut(Exception):
    pass


class SaveAt(mt.Autosave):
    # Saves after `step` steps of the fit, and the power goes.
    def __init__(self, step):
        super().__init__("/r.mtc", extra={"before": 7, "list": [1, "ä"]})
        self.step = step

    def look(self, fit):
        if fit.done == self.step:
            self.save(fit)
            raise Cut


class Reports(list):
    def __call__(self, report):
        self.append({k: v for k, v in report.items() if k not in TIMES})


def start(settings):
    named = dict(settings)
    augment = named.pop("augment", None)
    trained = {k: named.pop(k) for k in ("wide", "momentum", "accumulate", "loss") if k in named}
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=3, **trained)
    # The third fit of a trainer: its epochs and steps do not begin at 0.
    if not augment:
        trainer.fit(samples(trainer), 1, on_epoch=lambda report: None)
    if augment:
        named["augment"] = mt.Augment(*augment)
    return trainer, named


def samples(trainer):
    return vectors if trainer.loss_name == "mse" else data


def run(trainer, named, reports, steps, autosave=None):
    trainer.fit(samples(trainer), on_epoch=reports, on_steps=steps, autosave=autosave, **named)
    return checkpoint.sha256(trainer.model)


def check(settings, *cuts):
    trainer, named = start(settings)
    whole, whole_steps = Reports(), Reports()
    expected = run(trainer, named, whole, whole_steps)
    best = trainer.best
    epoch, steps = trainer.epoch, trainer.steps
    for cut in cuts:
        trainer, named = start(settings)
        reports, taken = Reports(), Reports()
        try:
            run(trainer, named, reports, taken, SaveAt(cut))
            raise AssertionError("not cut at %d" % cut)
        except Cut:
            pass
        del trainer
        gc.collect()
        model = mt.Model("/tiny.mtm")
        trainer = model.restore("/r.mtc")
        assert trainer.unfinished.extra == {"before": 7, "list": [1, "ä"]}
        trainer.resume(samples(trainer), named.get("validation"), reports, taken)
        assert reports == whole, (settings, cut, reports, whole)
        assert sum(s["samples"] for s in taken) == sum(s["samples"] for s in whole_steps)
        assert trainer.best == best and (trainer.epoch, trainer.steps) == (epoch, steps)
        assert checkpoint.sha256(model) == expected, (settings, cut)
        assert not trainer.unfinished


check({"epochs": 2}, 1, 64, 101)
check({"epochs": 1, "schedule": "linear", "warmup": 9, "shuffle": False}, 5, 33)
check({"epochs": 1, "schedule": "cosine", "wide": True, "augment": (True, 1, 9, 2, 5)}, 40)
check({"epochs": 2, "schedule": "halve", "augment": (True, 1, 9, 2, 5)}, 63, 64, 65)
check({"epochs": 1, "schedule": "step=0.1@50,75", "momentum": 0.9, "accumulate": 3}, 31, 50)
check({"epochs": 3, "validation": val, "keep_best": True}, 30, 64, 150)
check({"epochs": 5, "validation": val, "patience": 1, "keep_best": True}, 64, 70)
check({"epochs": 2, "loss": "mse", "validation": vectors, "patience": 2}, 90)

# It can be cut again and again.
trainer, named = start({"epochs": 1, "schedule": "cosine"})
expected = run(trainer, named, Reports(), Reports())
trainer, named = start({"epochs": 1, "schedule": "cosine"})
go_on, args = trainer.fit, {"schedule": "cosine", "epochs": 1}
for cut in (10, 11, 37):
    try:
        go_on(data, autosave=SaveAt(cut), on_epoch=Reports(), **args)
    except Cut:
        trainer = mt.Model("/tiny.mtm").restore("/r.mtc")
        go_on, args = trainer.resume, {}
assert (trainer.steps, trainer.unfinished.done, trainer.epoch) == (64 + 37, 37, 1)

# It is checked before anything changes.
raises(ValueError, "the interrupted fit had 64 samples", trainer.resume, val)
raises(ValueError, "use loss=", trainer.resume, vectors)
trainer.resume(data, on_epoch=Reports())
assert checkpoint.sha256(trainer.model) == expected
raises(ValueError, "no fit to go on with", trainer.resume, data)

# Two generations: the older one is taken where the newer one is damaged, with a notice.
notices = []
with open("/r.mtc", "rb") as f:
    content = bytearray(f.read())
for at, what in ((50, "header damaged: CRC-32"), (len(content) - 50, "damaged: SHA-256")):
    content[at] ^= 4
    with open("/r.mtc", "wb") as f:
        f.write(content)
    content[at] ^= 4
    assert mt.Model("/tiny.mtm").restore("/r.mtc", notices.append).unfinished.done == 11
    assert what in notices[-1] and "/r.mtc.old is taken instead" in notices[-1]
# What a plain checkpoint holds is no fit, and a fit that began anew forgets the old one.
trainer = mt.Model("/tiny.mtm").restore("/r.mtc", notices.append)
trainer.model.save("/s.mtc")
assert mt.Model("/tiny.mtm").restore("/s.mtc", notices.append).unfinished is None
trainer.step(bytearray(data.size), 0)
raises(ValueError, "no fit to go on with", trainer.resume, data)
assert len(notices) == 3
for name in ("/r.mtc", "/r.mtc.old", "/s.mtc"):
    os.remove(name)
print("done")
