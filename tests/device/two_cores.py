# Two cores give the bytes of one, where the firmware has them.

import sys

import _microtrain
from checks import raises, state

import microtrain as mt

data = mt.Dataset("/train.mtd")
x = bytearray(data.size)


def learn(cores):
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=3, cores=cores)
    for i in range(12):
        y = data.read(i, x)
        trainer.step(x, y)
    return trainer


one = learn(1)
try:
    two = learn(2)
except ValueError as error:
    assert "runs the engine on one core: use cores=1" in str(error), error
    # A native module uses one core, wherever it runs.
    assert sys.platform not in ("linux", "rp2") or hasattr(_microtrain, "__file__")
else:
    assert state(one) == state(two)
    assert two.plan.info["total_ram_bytes"] > one.plan.info["total_ram_bytes"]
raises(ValueError, "cores 3: 1 or 2 needed", mt.Trainer, mt.Model("/tiny.mtm"), cores=3)
print("done")
