# One line that depends on every bit of a training run.

import gc

from checks import trained

import microtrain as mt
from microtrain import checkpoint

model, trainer = trained("full", epochs=3, schedule="halve")
augment = mt.Augment(flip=True, shift=2, brightness=9, cutout=3, seed=5)
trainer.fit(mt.Dataset("/train.mtd"), 3, on_epoch=lambda r: None, schedule="cosine", warmup=50,
            augment=augment)
print(checkpoint.sha256(model))
model = mt.Model("/tiny.mtm")
trainer = mt.Trainer(model, "full", momentum=0.9, weight_decay=1e-3, accumulate=3)
trainer.fit(mt.Dataset("/train.mtd"), 1, on_epoch=lambda r: None)
gc.collect()
print(checkpoint.sha256(model))
