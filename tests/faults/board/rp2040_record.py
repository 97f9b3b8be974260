# Saves checkpoints, one after the other; runs on the emulated RP2040 (power_cuts.mjs).
# The scratch register says which one is being written.

import hashlib

import machine

import microtrain as mt
from microtrain import checkpoint

SCRATCH = 0x4005800C
SAVES = 12
data = mt.Dataset("/train.mtd")
x = bytearray(data.size)
trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=5)
for number in range(1, SAVES + 1):
    y = data.read(number, x)
    trainer.step(x, y)
    machine.mem32[SCRATCH] = number
    if number % 2:
        checkpoint.save(trainer.model, "/one.mtc")
    else:
        checkpoint.save(trainer.model, "/two.mtc", None, 2)
    print(trainer.steps, hashlib.sha256(trainer.session.state()).digest().hex())
