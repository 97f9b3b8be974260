# Reading a sample, a step, and the loop over samples take nothing from the heap.

import micropython
from checks import trained

import microtrain as mt

model, trainer = trained("full")
vectors = mt.Dataset("/vectors.mtd")
data = mt.Dataset("/train.mtd")
buffer = bytearray(data.size)
session = trainer.session
samples = range(len(data))


def one_by_one():
    micropython.heap_lock()
    try:
        for i in samples:
            y = data.read(i, buffer)
            vectors.read(i, buffer)
            session.step(buffer, y)
            session.score(buffer, y)
            session.forward(buffer)
            session.loss(y)
            session.backward()
            session.argmax()
    finally:
        micropython.heap_unlock()


def loop(do, augment=None):
    # Of fit() and evaluate().
    micropython.heap_lock()
    try:
        trainer._run(data, samples, 0, 64, do, buffer, augment)
    finally:
        micropython.heap_unlock()


def lock_holds():
    micropython.heap_lock()
    try:
        bytearray(100)
    except MemoryError:
        return True
    finally:
        micropython.heap_unlock()
    return False


assert lock_holds()
one_by_one()
session.stats()
loop(session.step)
loop(session.score)
loop(session.step, mt.Augment(True, 2, 9, 3).settings)
assert session.stats()[2] == 192

trainer = mt.Trainer(
    mt.Model("/tiny.mtm"), "full", momentum=0.9, weight_decay=0.1, accumulate=2, qas=False
)
session = trainer.session
loop(session.step)
assert session.stats()[2] == 64

trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", loss="mse")
session, data = trainer.session, vectors
loop(session.step)
assert session.stats()[2] == 64
print("done")
