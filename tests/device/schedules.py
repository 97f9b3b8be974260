# The learning rate over the steps of a fit.

import math

from checks import raises, state, trained

import microtrain as mt

data = mt.Dataset("/train.mtd")


def rates(schedule, epochs, warmup=0):
    # [(first step it holds for, rate / base rate)]
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "last", 0.5, seed=1)
    found = []
    trainer.fit(data, epochs, on_epoch=lambda report: None, schedule=schedule, warmup=warmup,
                on_steps=lambda s: found.append((s["step"] - s["samples"], s["lr"] / 0.5)))
    assert trainer.lr == 0.5 and trainer.steps == 64 * epochs
    return found


def stepped(t):
    return 0.25 ** ((t >= 0.3) + (t >= 0.75))


FORMULAS = {
    "constant": lambda t: 1,
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    "halve": lambda t: 0.5 ** ((t >= 0.5) + (t >= 0.7) + (t >= 0.85) + (t >= 0.95)),
    "step=0.25@30,75": stepped,
}
# 64, 128, 576 steps: the rate holds for 1, 1, 3 of them; in the warm-up of 300, for 2.
for epochs, warmup in ((1, 0), (2, 0), (9, 0), (1, 1), (2, 100), (9, 300)):
    total = 64 * epochs - warmup
    held, held_first = total // 256 + 1, warmup // 256 + 1
    for schedule, formula in FORMULAS.items():
        for step, rate in rates(schedule, epochs, warmup):
            if step < warmup:
                expected = step // held_first * held_first / warmup
            else:
                expected = formula((step - warmup) // held * held / total)
            assert abs(rate - expected) < 2e-6, (schedule, warmup, step, rate, expected)

trainer = mt.Trainer(mt.Model("/tiny.mtm"))
for wrong in ("cubic", "step=", "step=2@50", "step=0.5", "step=0.5@x", "step=0.5@101", None, 3):
    raises(ValueError, "schedule %r: use" % (wrong,), trainer.fit, data, schedule=wrong)
for steps in (-1, 64, 65):
    raises(ValueError, "a warm-up of %d steps: this fit has 64" % steps, trainer.fit, data,
           warmup=steps)
assert trainer.steps == 0

# It matters, and it is deterministic.
names = ("constant", "linear", "halve", "cosine", "step=0.25@30,75", "linear")
results = [state(trained(schedule=name)[1]) for name in names]
results.append(state(trained(schedule="linear", warmup=40)[1]))
assert results[1] == results[5] and len(set(results)) == 6
print("done")
