# What a person types at the REPL.

from checks import state, trained

import microtrain as mt
from microtrain.dataset import Memory

model = mt.Model("/tiny.mtm")
assert repr(model).startswith("<Model tiny: input 6x6x3, 4 classes, 5 operators, "), repr(model)
data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
assert repr(data) == "<Dataset /train.mtd: 64 samples of 6x6x3>"
assert len(data) == 64 and data.class_names == ["north", "east", "south", "west"]

# As imported: int8 outputs, predict() gives a label.
x = bytearray(data.size)
label = data.read(5, x)
assert label == 5 % 4
out = model.forward(x)
assert len(out) == 4 and all(-128 <= v <= 127 for v in out)
assert model.predict(x) == model.labels[max(range(4), key=lambda i: out[i])]
zero = model.quantize([0.0] * data.size)
assert all((v ^ 128) - 128 == model.input_zero_point for v in zero)

# The plan is what the trainer uses.
plan = model.plan("full")
assert "conv2d_0" in repr(plan) and len(list(plan.layers())) == 5
trainer = mt.Trainer(model, "full", 0.02, seed=3)
assert trainer.total_ram_bytes == plan.info["total_ram_bytes"]
assert plan.info["arena_bytes"] >= plan.info["arena_lower_bound_bytes"] > 0

# The pieces are the step.
before = state(trainer)
logits = trainer.forward(x)
assert len(logits) == 4 and max(logits) > 127
loss = trainer.loss(label)
trainer.backward()
trainer.update()
assert loss > 0 and state(trainer) != before and trainer.steps == 1
after = state(trainer)
trainer.session.state()[:] = before
trainer.session.refresh()
assert trainer.step(x, label) == loss and state(trainer) == after and trainer.steps == 2

# fit() reports, learns, and evaluate() measures.
reports, steps = [], []
report = trainer.fit(data, 4, val, reports.append, on_steps=steps.append)
assert [r["epoch"] for r in reports] == [1, 2, 3, 4] and reports[-1] is report
assert report["steps"] == 258 == trainer.steps and sum(s["samples"] for s in steps) == 256
assert report["val_accuracy"] == trainer.evaluate(val)["accuracy"] > 0.9
assert reports[0]["train_loss"] > report["train_loss"] > 0
assert "258 steps" in repr(trainer) and "trained (full)" in repr(model)
assert model.predict(x) == model.labels[label]

# Without on_epoch it prints a line an epoch.
trainer.fit(data, 1, val)

# The same seed gives the same bytes, another one others.
assert state(trained()[1]) == state(trained()[1]) != state(trained(seed=4)[1])

# A new head starts at zero: every class is as likely.
model = mt.Model("/tiny.mtm")
model.new_head(7, labels=list("abcdefg"))
trainer = mt.Trainer(model, "last", 0.1)
assert model.classes == 7 and list(trainer.forward(x)) == [0] * 7
assert abs(trainer.loss(6) - 1.94591) < 1e-3
trainer.fit(data, 4, on_epoch=lambda report: None)
assert trainer.evaluate(val)["accuracy"] > 0.9 and model.predict(x) == "abcdefg"[label]
model.reset()
assert model.classes == 4 and list(model.forward(x)) == list(mt.Model("/tiny.mtm").forward(x))

# Targets of numbers, the input itself, samples from memory.
model = mt.Model("/tiny.mtm")
trainer = mt.Trainer(model, "full", 0.02, loss="mse")
vectors = mt.Dataset("/vectors.mtd")
first = trainer.evaluate(vectors)
assert first["accuracy"] is None and first["samples"] == 64
report = trainer.fit(vectors, 3, vectors, on_epoch=lambda report: None)
assert report["val_loss"] < first["loss"] and report["train_accuracy"] is None

with open("/train.mtd", "rb") as f:
    f.seek(data._samples_at)
    samples = f.read(8 * data.size)
memory = Memory(samples, [0, 1, 2, 3, 0, 1, 2, 3], (6, 6, 3))
model = mt.Model("/tiny.mtm")
trainer = mt.Trainer(model, "full", 0.02)
trainer.fit(memory, 30, on_epoch=lambda report: None)
assert trainer.evaluate(memory)["accuracy"] == 1.0
print("done")
