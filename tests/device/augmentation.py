# Random changes of training samples.

from array import array

from checks import raises, state, trained

import microtrain as mt

data = mt.Dataset("/train.mtd")
x = bytearray(data.size)
model = mt.Model("/tiny.mtm")
trainer = mt.Trainer(model, "full")
session, zero = trainer.session, model.input_zero_point & 255
h, w, c = model.input_shape


def changed(**changes):
    # Sample 0 under 40 draws: a list of bytes.
    augment, found = mt.Augment(**changes), []
    for _ in range(40):
        data.read(0, x)
        session.augment(x, augment.settings)
        found.append(bytes(x))
    return found


data.read(0, x)
plain = bytes(x)
mirror = b"".join(
    plain[(y * w + i) * c : (y * w + i + 1) * c] for y in range(h) for i in reversed(range(w))
)
assert set(changed()) == {plain}
assert set(changed(flip=True)) == {plain, mirror}
assert changed(flip=True, seed=1) == changed(flip=True) != changed(flip=True, seed=2)
assert len(set(changed(shift=1))) == 9
assert 3 <= len(set(changed(brightness=2))) <= 5
for found in changed(cutout=2):
    gone = [i // c for i in range(len(plain)) if found[i] != plain[i]]
    assert 0 < len(set(gone)) <= 4 and all(found[i * c] == zero for i in gone)


# A fit with it: deterministic, another result, goes on exactly, and leaves validation alone.
def fit(*epochs, seed=1):
    model = mt.Model("/tiny.mtm")
    trainer = mt.Trainer(model, "full", 0.02, seed=3)
    for each in epochs:
        augment = mt.Augment(flip=True, shift=1, brightness=9, cutout=2, seed=seed)
        trainer.fit(data, each, on_epoch=lambda report: None, augment=augment)
    return state(trainer)


assert fit(2) == fit(1, 1) != fit(2, seed=2)
assert fit(2) != state(trained()[1])

for name, wrong in (("shift", -1), ("shift", 65536), ("brightness", 256), ("cutout", -1)):
    raises(ValueError, "%s=%d: 0 to" % (name, wrong), mt.Augment, **{name: wrong})
large = array("I", (0, 1 << 17, 0, 0, 1))
for wrong in array("I", range(4)), array("H", range(5)), bytearray(20), large:
    raises(ValueError, "the settings of an Augment needed", session.augment, x, wrong)
raises(ValueError, "a sample of the model", session.augment, x[1:], mt.Augment().settings)


class Signals:
    name, input_shape = "signals", (1, 50, 3)


mt.Augment(flip=True, shift=3).check(Signals)
for name in "brightness", "cutout":
    raises(ValueError, "signals takes signals", mt.Augment(**{name: 1}).check, Signals)
print("done")
