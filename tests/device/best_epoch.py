# Early stopping, and the best epoch as what remains.

from checks import raises, state

import microtrain as mt

data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")


def fit(epochs, loss="cross_entropy", samples=data, **named):
    # (trainer, reports)
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, loss, seed=3)
    reports = []
    trainer.fit(samples, epochs, on_epoch=reports.append, **named)
    return trainer, reports


# It stops, and keeps what a fit of so many epochs gives, byte for byte.
trainer, reports = fit(12, validation=val, patience=2, keep_best=True)
scores = [report["val_accuracy"] for report in reports]
best = scores.index(max(scores)) + 1
assert len(reports) == best + 2 < 12
assert [r["best_epoch"] for r in reports] == [
    scores.index(max(scores[: i + 1])) + 1 for i in range(len(reports))
]
expected, _ = fit(best)
assert trainer.best == {
    "epoch": best, "steps": 64 * best, "loss": reports[best - 1]["val_loss"],
    "accuracy": max(scores), "kept": True,
}  # fmt: skip
assert (trainer.epoch, trainer.steps) == (best, 64 * best)
assert state(trainer) == state(expected) and trainer.state_bytes == len(state(trainer))
assert trainer.evaluate(val)["accuracy"] == max(scores)
# And goes on as that one does.
for each in trainer, expected:
    each.fit(data, 1, on_epoch=lambda report: None)
assert state(trainer) == state(expected) and trainer.epoch == best + 1

# Without keep_best the last epoch remains; without patience all are made.
trainer, reports = fit(12, validation=val, patience=1)
assert trainer.epoch == len(reports) == trainer.best["epoch"] + 1 and not trainer.best["kept"]
assert state(trainer) == state(fit(len(reports))[0])
trainer, reports = fit(best + 3, validation=val, keep_best=True)
assert len(reports) == best + 3 and trainer.epoch == best


# After an interrupt too, in the middle of an epoch.
def interrupted(after):
    # Trainer of a fit that Ctrl-C ends some steps after this one.
    def interrupt(steps):
        if steps["step"] > after:
            raise KeyboardInterrupt

    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=3)
    try:
        trainer.fit(data, 99, val, lambda report: None, on_steps=interrupt, keep_best=True)
    except KeyboardInterrupt:
        return trainer
    raise AssertionError("not interrupted")


trainer = interrupted(64 * (best + 1) + 20)
assert state(trainer) == state(fit(best)[0]) and trainer.epoch == best
# In the first epoch there is none to keep: what was learned stays.
trainer = interrupted(10)
assert 10 < trainer.steps < 64 and trainer.best is None

# By loss, where there are no classes.
vectors = mt.Dataset("/vectors.mtd")
trainer, reports = fit(4, "mse", vectors, validation=vectors, keep_best=True)
losses = [report["val_loss"] for report in reports]
assert trainer.epoch == losses.index(min(losses)) + 1 == trainer.best["epoch"]
assert trainer.best["accuracy"] is None and trainer.evaluate(vectors)["loss"] == min(losses)

for named in {"patience": 1}, {"keep_best": True}:
    raises(ValueError, "go by validation", trainer.fit, vectors, **named)
print("done")
