# Every error says what is wrong, with the numbers.

from checks import raises

import microtrain as mt
from microtrain.dataset import Memory

with open("/tiny.mtm", "rb") as f:
    image = bytearray(f.read())

# Images
raises(OSError, "", mt.Model, "/nothing.mtm")
raises(ValueError, "does not start with MTMI", mt.Model, b"\0" * 100)
text = "image truncated: %d B needed, %d B given" % (len(image), len(image) - 1)
raises(ValueError, text, mt.Model, image[:-1])
damaged = bytearray(image)
damaged[-5] ^= 1
raises(ValueError, "SHA-256 does not match", mt.Model, damaged)
damaged = bytearray(image)
damaged[4] = 9
raises(ValueError, "image format 9, this firmware reads 1", mt.Model, damaged)

# Schemes
model = mt.Model("/tiny.mtm")
raises(ValueError, 'scheme \'most\': use "last", "last-K"', mt.Trainer, model, "most")
raises(ValueError, "K of last-K is 1 to ", mt.Trainer, model, "last-9")
layers = {"conv9": {"bias": True}}
raises(ValueError, "no conv9, which the scheme trains", mt.Trainer, model, {"layers": layers})
layers = {"conv2d_0": {"bias": True, "weights": 4}}
raises(ValueError, "4 input channels asked, it has 3", mt.Trainer, model, {"layers": layers})
layers = {"conv2d_0": {"bias": True, "weights": [1, 3]}}
raises(ValueError, "input channel 3 out of range 0..2", mt.Trainer, model, {"layers": layers})
layers = {"average_pool_3": {"bias": True}}
raises(ValueError, "a average_pool has nothing to train", mt.Trainer, model, {"layers": layers})

# Memory
needed = model.plan("full").info["total_ram_bytes"]
text = "%d B given (short %d B)" % (needed - 8, 8)
raises(MemoryError, text, mt.Trainer, model, "full", memory=bytearray(needed - 8))
odd = memoryview(bytearray(needed + 1))[1:]
raises(ValueError, "multiple of 8", mt.Trainer, model, "full", memory=odd)
mt.Trainer(model, "full", memory=bytearray(needed))
model.reset()

# Values
raises(ValueError, "1 classes: a head needs 2 or more", model.new_head, 1)
raises(ValueError, "learning rate not finite", mt.Trainer, model, lr=float("nan"))
raises(ValueError, "learning rate", mt.Trainer, model, lr=-0.1)
raises(ValueError, "gradient_bits 16: 8 or 12 needed", mt.Trainer, model, gradient_bits=16)
raises(ValueError, 'loss \'l1\': use "cross_entropy" or "mse"', mt.Trainer, model, loss="l1")
trainer = mt.Trainer(model, "last")
x = bytearray(108)
raises(ValueError, "sample of 107 B: the model takes 6x6x3 = 108 int8", trainer.step, x[:-1], 0)
raises(ValueError, "label 4 out of range: the network has 4 classes", trainer.step, x, 4)
raises(ValueError, "out of range", trainer.step, x, -1)
raises(ValueError, "has been trained", model.new_head, 3)
assert trainer.steps == 0

# Data
data = mt.Dataset("/train.mtd")
raises(ValueError, 'has classes: use loss="cross_entropy"', mt.Trainer(
    mt.Model("/tiny.mtm"), loss="mse").fit, data)
raises(ValueError, 'has no classes: use loss="mse"', trainer.fit, mt.Dataset("/vectors.mtd"))
raises(ValueError, 'has no classes: use loss="mse"', trainer.fit, mt.Dataset("/plain.mtd"))
small = Memory(bytes(27), [0], (3, 3, 3))
raises(ValueError, "which takes 6x6x3", trainer.fit, small)
coarse = Memory(bytes(108), [0], (6, 6, 3), 9.0, 0)
raises(ValueError, "scale 9, zero point 0; tiny needs", trainer.fit, coarse)
text = "27 B of samples for 2 labels: 54 B needed"
raises(ValueError, text, Memory, bytes(27), [0, 1], (3, 3, 3))
many = Memory(bytes(108), [7], (6, 6, 3))
raises(ValueError, "has label 7, tiny has 4 classes: use new_head(classes=8)", trainer.fit, many)
raises(ValueError, "schedule 'cubic': use", trainer.fit, data, schedule="cubic")

# A network that has a new head and no trainer cannot predict.
model = mt.Model("/tiny.mtm")
model.new_head(3)
raises(ValueError, "the new head is not trained yet", model.predict, x)
raises(ValueError, "nothing has been trained yet", model.save, "/x.mtc")

# Absurd learning rates saturate; they neither crash nor leave the int8 range.
for lr in (1e9, 1e-40):
    model = mt.Model("/tiny.mtm")
    trainer = mt.Trainer(model, "full", lr)
    report = trainer.fit(data, 1, data, on_epoch=lambda report: None)
    assert report["val_loss"] >= 0 and report["train_loss"] >= 0, report
print("done")
