# A new trainer of a model keeps what the earlier one learned, or says why it cannot.

from checks import raises, state, trained

import microtrain as mt

data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
x = bytearray(data.size)
data.read(3, x)

for first, second in (("last", "bias"), ("last", "full"), ("bias", "full"), ("full", "full")):
    model, trainer = trained(first)
    logits = list(trainer.forward(x))
    wider = mt.Trainer(model, second, 0.01)
    assert list(wider.forward(x)) == logits, (first, second)
    assert model.trainer is wider and wider.steps == 0
    wider.fit(data, 1, on_epoch=lambda report: None)
    assert list(wider.forward(x)) != logits

# Every bit of what was learned: all of the state but random state and gradient shifts.
SHIFTS = 8 + 8 * 5
for scheme in ("last", "bias", "full"):
    model, trainer = trained(scheme)
    again = mt.Trainer(model, scheme, 0.01)
    assert state(again)[SHIFTS:] == state(trainer)[SHIFTS:], scheme

# Some channels, then more of them.
some = {"layers": {"conv2d_2": {"bias": True, "weights": [0, 5]}, "conv2d_0": {"weights": 2}}}
model, trainer = trained(some)
logits = list(trainer.forward(x))
wider = mt.Trainer(model, "full", 0.01)
assert list(wider.forward(x)) == logits

# From int8 weights to wide ones, but not back: the fractions would be lost.
model, trainer = trained("full")
logits = list(trainer.forward(x))
wide = mt.Trainer(model, "full", 0.01, wide=True)
assert list(wide.forward(x)) == logits
assert wide.plan.info["trainable_bytes"] > trainer.plan.info["trainable_bytes"]
wide.fit(data, 1, on_epoch=lambda report: None)
raises(ValueError, "has been trained, and this scheme", mt.Trainer, model, "full")
model.save("/wide.mtc")
again = mt.Model("/tiny.mtm").restore("/wide.mtc")
assert again.wide and state(again) == state(wide)

# Less than what was trained would lose it: refused, and nothing changes.
for first, second in (("full", "last"), ("full", "bias"), ("bias", "last")):
    model, trainer = trained(first)
    before = state(trainer)
    text = "has been trained, and this scheme does not hold it"
    raises(ValueError, text, mt.Trainer, model, second)
    assert model.trainer is trainer and state(trainer) == before
    model.reset()
    assert mt.Trainer(model, second).evaluate(val)["samples"] == 40

# A trained new head.
model = mt.Model("/tiny.mtm")
model.new_head(6)
trainer = mt.Trainer(model, "last", 0.02)
trainer.fit(data, 2, on_epoch=lambda report: None)
logits = list(trainer.forward(x))
assert list(mt.Trainer(model, "bias", 0.02).forward(x)) == logits
print("done")
