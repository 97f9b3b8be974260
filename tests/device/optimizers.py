# The settings of the update rule.

import json

from checks import raises, state

import microtrain as mt
from microtrain import checkpoint
from microtrain.optimizer import Optimizer

data = mt.Dataset("/train.mtd")
x = bytearray(data.size)


def learn(trainer, samples=12):
    for i in range(samples):
        y = data.read(i, x)
        trainer.step(x, y)
    return trainer


def run(scheme="full", lr=0.02, **optimizer):
    return learn(mt.Trainer(mt.Model("/tiny.mtm"), scheme, lr, seed=3, **optimizer))


def description(trainer):
    trainer.model.save("/o.mtc")
    with open("/o.mtc", "rb") as f:
        content = f.read()
    assert checkpoint.sha256(trainer.model)
    return json.loads(content[64:64 + int.from_bytes(content[8:12], "little")])


plain = run()
assert "optimizer" not in description(plain)

# Without scaling another result, which a checkpoint goes on with. The classifier never has it.
off = run(qas=False)
assert state(off) != state(plain) == state(run(qas=True))
assert state(run(scheme="last", qas=False)) == state(run(scheme="last"))
assert description(off)["optimizer"] == {"qas": False}
again = mt.Model("/tiny.mtm").restore("/o.mtc")
assert again.optimizer.settings["qas"] is False
assert state(learn(again)) == state(learn(off))
run(qas=False, lr=2147483000.0)

# Each setting counts; what it costs is in the plan; and a checkpoint, here in the middle of the
# samples of one update, goes on as if nothing had been.
info = plain.plan.info
assert info["optimizer_bytes"] == 0
seen = [state(plain)]
for bits, optimizer in (
    (0, {"weight_decay": 0.01}), (8, {"momentum": 0.9, "momentum_bits": 8}),
    (16, {"momentum": 0.9}), (16, {"accumulate": 5}),
    (8, {"momentum": 0.75, "accumulate": 7, "weight_decay": 0.001, "momentum_bits": 8}),
):  # fmt: skip
    trainer = run(**optimizer)
    assert trainer.optimizer.momentum_bits == bits
    seen.append(state(trainer))
    needed = trainer.plan.info
    parameters = sum(n["trained_weights"] + n["trained_bias"] for n in trainer.plan.layers())
    assert parameters * bits // 8 <= needed["optimizer_bytes"] <= parameters * (bits // 8 + 1)
    for key in ("state_bytes", "total_ram_bytes"):
        assert needed[key] - info[key] - needed["optimizer_bytes"] in (0, 4)
    planned = mt.Model("/tiny.mtm").plan("full", momentum_bits=bits).info
    assert planned["total_ram_bytes"] == trainer.total_ram_bytes
    description(trainer)
    again = mt.Model("/tiny.mtm").restore("/o.mtc")
    assert again.optimizer.momentum_bits == bits
    assert state(learn(again)) == state(learn(trainer)) and again.steps == 24
assert len(set(seen)) == len(seen)

# Real numbers are kept as what they are on every board.
stored = description(run(momentum=0.9, weight_decay=1e-4))["optimizer"]
assert stored == {"momentum": 0x3F666666, "weight_decay": 0x38D1B717, "momentum_bits": 16}

# Samples that are summed change nothing until the last of them comes.
trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, accumulate=4)
outputs = []
for i in range(8):
    y = data.read(i, x)
    trainer.step(x, y)
    data.read(9, x)
    outputs.append(bytes(trainer.forward(x)))
assert outputs[0] == outputs[2] != outputs[3] == outputs[6] != outputs[7]

model = mt.Model("/tiny.mtm")
raises(TypeError, "nesterov: not one of accumulate, momentum", mt.Trainer, model, nesterov=True)
for wrong in (
    {"momentum": 1.0}, {"momentum": -0.1}, {"momentum": float("nan")}, {"weight_decay": -1e-3},
    {"weight_decay": float("inf")}, {"accumulate": 0}, {"accumulate": 65536}, {"accumulate": -1},
):  # fmt: skip
    raises(ValueError, "needed", mt.Trainer, model, **wrong)

# The settings may change while training goes on, but not what they are kept in.
trainer = run(momentum_bits=8)
trainer.optimizer = Optimizer(momentum=0.9, momentum_bits=8)
learn(trainer)
assert description(trainer)["optimizer"] == {"momentum": 0x3F666666, "momentum_bits": 8}
raises(ValueError, "momentum_bits 16: this trainer has 8", setattr, trainer, "optimizer",
       Optimizer(momentum=0.9))
raises(ValueError, "momentum_bits 12: 0, 8 or 16 needed", mt.Trainer, model, momentum_bits=12)
print("done")
