# A fit that a reset ends goes on from its last checkpoint: the same bytes, the same reports.

import gc
import os

from checks import raises

import microtrain as mt
from microtrain import checkpoint

data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
vectors = mt.Dataset("/vectors.mtd")
data._count = vectors._count = 16  # a chip in an emulator is slow
val._count = 12
TIMES = "samples_per_s", "seconds"


class Cut(Exception):
    pass


class SaveAt(mt.Autosave):
    # Saves after `step` steps of the fit, and the power goes.
    def __init__(self, step):
        super().__init__("/r.mtc", notice=None, extra={"before": 7, "list": [1, "ä"]})
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


check({"epochs": 2}, 16, 27)
check({"epochs": 1, "schedule": "linear", "warmup": 9, "shuffle": False}, 5)
check({"epochs": 1, "schedule": "cosine", "wide": True, "augment": (True, 1, 9, 2, 5)}, 10)
check({"epochs": 2, "schedule": "halve", "augment": (True, 1, 9, 2, 5)}, 17)
check({"epochs": 1, "schedule": "step=0.1@50,75", "momentum": 0.9, "accumulate": 3}, 8)
check({"epochs": 3, "validation": val, "keep_best": True}, 37)
check({"epochs": 9, "validation": val, "patience": 2, "keep_best": True}, 35)
check({"epochs": 2, "loss": "mse", "validation": vectors, "patience": 2}, 20)

# It can be cut again and again.
trainer, named = start({"epochs": 1, "schedule": "cosine"})
expected = run(trainer, named, Reports(), Reports())
trainer, named = start({"epochs": 1, "schedule": "cosine"})
go_on, args = trainer.fit, {"schedule": "cosine", "epochs": 1}
for cut in (10, 11, 13):
    try:
        go_on(data, autosave=SaveAt(cut), on_epoch=Reports(), **args)
    except Cut:
        trainer = mt.Model("/tiny.mtm").restore("/r.mtc")
        go_on, args = trainer.resume, {}
assert (trainer.steps, trainer.unfinished.done, trainer.epoch) == (16 + 13, 13, 1)

# It is checked before anything changes.
raises(ValueError, "the interrupted fit had 16 samples", trainer.resume, val)
raises(ValueError, "use loss=", trainer.resume, vectors)
trainer.resume(data, on_epoch=Reports())
assert checkpoint.sha256(trainer.model) == expected
raises(ValueError, "no fit to go on with", trainer.resume, data)

# What it costs the flash is told once, and the flash lasts: years stretch the seconds.
told = []
trainer, named = start({"epochs": 1})
saver = mt.Autosave("/r.mtc", seconds=0, years=0, notice=told.append)
named["on_steps"] = lambda steps: steps["samples"] == 1 or 1 / 0
trainer.fit(data, on_epoch=Reports(), autosave=saver, **named)
assert len(told) == 1 and told[0].endswith("as often as can be") and saver.saves == 15
gc.collect()
with open("/r.mtc", "rb") as f:
    size = f.seek(0, 2)
fit = trainer.model.restore("/r.mtc").unfinished
wear = saver.wear(fit)
assert wear["bytes"] == size and wear["erases"] >= 2 and wear["years"] is None
saver = mt.Autosave("/r.mtc", seconds=60, years=0)
years = saver.wear(fit)["years"]
assert years > 0 and saver.wear(fit)["seconds"] == 60
saver.years = 2 * years
assert abs(saver.wear(fit)["seconds"] - 120) < 1
trainer, named = start({"epochs": 1})
saver = mt.Autosave("/r.mtc", notice=told.append)
trainer.fit(data, on_epoch=Reports(), autosave=saver, **named)
assert saver.saves == 0 and "saves a day" in told[1] and "years to 100000 erases" in told[1]

# It needs no large piece of the heap: here there is none of 1500 bytes.
class SaveInHoles(SaveAt):
    chunks = [None] * 4000

    def save(self, fit):
        chunks = self.chunks
        try:
            for i in range(len(chunks)):
                chunks[i] = bytearray(1500)
        except MemoryError:
            pass
        for i in range(0, len(chunks), 2):
            chunks[i] = None
        gc.collect()
        super().save(fit)


trainer, named = start({"epochs": 1, "validation": val, "keep_best": True})
saver = SaveInHoles(13)
raises(Cut, "", run, trainer, named, Reports(), None, saver)
assert saver.saves == 1 and saver.chunks[1] and trainer.state_bytes > 1500
saver.chunks.clear()  # whatever still points to it, as the collector looks at the stack
del saver, SaveInHoles
gc.collect()

# Two generations: the older one is taken where the newer one is damaged, with a notice.
notices = []
with open("/r.mtc", "rb") as f:
    content = bytearray(f.read())
for at, what in ((50, "header damaged: CRC-32"), (len(content) - 50, "damaged: SHA-256")):
    content[at] ^= 4
    with open("/r.mtc", "wb") as f:
        f.write(content)
    content[at] ^= 4
    assert mt.Model("/tiny.mtm").restore("/r.mtc", notices.append).unfinished.done == 15
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
