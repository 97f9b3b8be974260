# What restore() finds after a power cut, and whether the file system goes on; runs on the emulated
# RP2040 (power_cuts.mjs).

import errno
import hashlib

import microtrain as mt
from microtrain import checkpoint


def found(path):
    try:
        trainer = mt.Model("/tiny.mtm").restore(path, lambda text: None)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        print(0, "none")
        return
    print(trainer.steps, hashlib.sha256(trainer.session.state()).digest().hex())
    return trainer


found("/one.mtc")
trainer = found("/two.mtc")
if trainer:
    trainer.step(bytearray(108), 0)
    checkpoint.save(trainer.model, "/two.mtc", None, 2)
    assert mt.Model("/tiny.mtm").restore("/two.mtc", lambda text: None).steps == trainer.steps
