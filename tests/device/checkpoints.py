# What was trained survives a file; a damaged file changes nothing.

import hashlib
import os

import _microtrain
from checks import raises, state, trained

import microtrain as mt
from microtrain import checkpoint

data, val = mt.Dataset("/train.mtd"), mt.Dataset("/val.mtd")
quiet = lambda report: None  # noqa: E731
x = bytearray(data.size)
data.read(7, x)

# Saved after two epochs and continued for one is the same as three in one go, byte for byte.
whole, whole_trainer = trained(epochs=3)
part, part_trainer = trained(epochs=2)
part.save("/c.mtc")
assert not [name for name in os.listdir("/") if name.endswith(".part")]
again = mt.Model("/tiny.mtm")
trainer = again.restore("/c.mtc")
assert (trainer.steps, trainer.epoch, trainer.lr, trainer.seed) == (128, 2, part_trainer.lr, 3)
assert trainer.scheme == "full" and state(trainer) == state(part_trainer)
assert list(again.forward(x)) == list(part.forward(x))
trainer.fit(data, 1, on_epoch=quiet)
assert state(trainer) == state(whole_trainer) and trainer.steps == 192

# sha256() is that of the file.

with open("/c.mtc", "rb") as f:
    content = f.read()
assert checkpoint.sha256(part) == hashlib.sha256(content).digest().hex()

# The engine's SHA-256 is hashlib's, in pieces, at any address, and may go on after a digest.
for at in 0, 1, 2, 3, 63, 64, 65, 200:
    digest, view = _microtrain.SHA256(), memoryview(content)
    digest.update(view[:at])
    assert digest.digest() == hashlib.sha256(view[:at]).digest()
    digest.update(view[at:])
    assert digest.digest() == hashlib.sha256(content).digest()

# A new head and a scheme with channel lists come back too.
model = mt.Model("/tiny.mtm")
model.new_head(5, labels=list("vwxyz"))
scheme = {"name": "mine", "layers": {"conv2d_2": {"bias": True, "weights": [1, 2, 6]}}}
trainer = mt.Trainer(model, scheme, 0.03, seed=9)
trainer.fit(data, 2, on_epoch=quiet)
model.save("/h.mtc")
again = mt.Model("/tiny.mtm")
restored = again.restore("/h.mtc")
assert again.classes == 5 and again.predict(x) == model.predict(x) and again.predict(x) in "vwxyz"
assert state(restored) == state(trainer) and "trained (mine)" in repr(again)

# Any damage is seen, and the model goes on as it was.
model, trainer = trained(epochs=1)
before, outputs = state(trainer), list(model.forward(x))


def refused(content, text):
    with open("/bad.mtc", "wb") as f:
        f.write(content)
    raises(ValueError, text, model.restore, "/bad.mtc")
    assert model.trainer is trainer and state(trainer) == before
    assert list(model.forward(x)) == outputs


for at in range(8, len(content), 29):
    damaged = bytearray(content)
    damaged[at] ^= 1 << at % 8
    refused(damaged, "damaged" if at < 16 or at >= 48 else "")
for length in (0, 3, 63, 64, 65, len(content) // 2, len(content) - 1):
    refused(content[:length], "damaged" if length >= 64 else "not a checkpoint")
refused(content + b"\0", "damaged: %d B where %d are needed" % (len(content) + 1, len(content)))
refused(b"XTC1" + content[4:], "does not start with MTC1")
refused(content[:4] + b"\2" + content[5:], "format 2, this firmware reads 1")
other = mt.Model("/other.mtm")
raises(ValueError, "saved from another image than tiny", other.restore, "/c.mtc")
raises(OSError, "", model.restore, "/nothing.mtc")
assert state(trainer) == before

# Power lost between remove and rename, on a file system that does not rename over files.
os.rename("/c.mtc", "/c.mtc.part")
model = mt.Model("/tiny.mtm")
assert state(model.restore("/c.mtc")) == state(part_trainer)
os.remove("/c.mtc.part")

# Saving over a file replaces it.
model.save("/h.mtc")
assert state(mt.Model("/tiny.mtm").restore("/h.mtc")) == state(part_trainer)
for name in ("/h.mtc", "/bad.mtc"):
    os.remove(name)
print("done")
