# The learning rate over the steps of a fit.

from checks import state, trained

import microtrain as mt

data = mt.Dataset("/train.mtd")


def rates(schedule, epochs):
    # [(first step it holds for, rate / base rate)]
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "last", 0.5, seed=1)
    found = []
    trainer.fit(data, epochs, on_epoch=lambda report: None, schedule=schedule,
                on_steps=lambda s: found.append((s["step"] - s["samples"], s["lr"] / 0.5)))
    assert trainer.lr == 0.5 and trainer.steps == 64 * epochs
    return found


assert all(rate == 1 for _, rate in rates("constant", 2))
for epochs in (1, 2, 9):  # 64, 128, 576 steps: the rate holds for 1, 1, 3 of them
    total = 64 * epochs
    held = total // 256 + 1
    for step, rate in rates("linear", epochs):
        at = step // held * held
        assert abs(rate - (1 - at / total)) < 1e-5, (step, rate)
    for step, rate in rates("halve", epochs):
        at = step // held * held
        halvings = (at >= 0.5 * total) + (at >= 0.7 * total) + (at >= 0.85 * total)
        halvings += at >= 0.95 * total
        assert rate == 0.5**halvings, (step, rate, halvings)

# It matters, and it is deterministic.
results = [state(trained(schedule=name)[1]) for name in ("constant", "linear", "halve", "linear")]
assert results[1] == results[3] and len(set(results)) == 3
print("done")
