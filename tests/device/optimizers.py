# The settings of the update rule.

import json

from checks import raises, state

import microtrain as mt
from microtrain import checkpoint

data = mt.Dataset("/train.mtd")


def run(epochs=1, scheme="full", lr=0.02, **optimizer):
    model = mt.Model("/tiny.mtm")
    trainer = mt.Trainer(model, scheme, lr, seed=3, **optimizer)
    trainer.fit(data, epochs, on_epoch=lambda report: None)
    return trainer


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
assert state(off) != state(plain) and state(off) == state(run(qas=False))
assert state(run(qas=True)) == state(plain)
assert state(run(scheme="last", qas=False)) == state(run(scheme="last"))
assert description(off)["optimizer"] == {"qas": False}
again = mt.Model("/tiny.mtm").restore("/o.mtc")
assert not again.optimizer.qas
again.fit(data, 1, on_epoch=lambda report: None)
assert state(again) == state(run(epochs=2, qas=False))
run(qas=False, lr=2147483000.0)

raises(TypeError, "", mt.Trainer, mt.Model("/tiny.mtm"), "full", nesterov=True)
print("done")
