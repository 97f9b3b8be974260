# Data files: what is in them, and what is wrong with them.

import os

from checks import raises

import microtrain as mt
from microtrain.dataset import CLASS_LABELS, NO_LABELS, VECTOR_LABELS, order

with open("/val.mtd", "rb") as f:
    content = f.read()
data = mt.Dataset("/val.mtd")
assert data.kind == CLASS_LABELS and data.shape == (6, 6, 3) and data.size == 108
buffer = bytearray(108)
for i in (0, 39, 17):
    assert data.read(i, buffer) == i % 4 == data.labels[i]
    start = data._samples_at + i * 108
    assert buffer == content[start : start + 108]
for i in (-1, 40, 1 << 20):
    raises(IndexError, "sample %d of 40" % i, data.read, i, buffer)
vectors, plain = mt.Dataset("/vectors.mtd"), mt.Dataset("/plain.mtd")
assert vectors.kind == VECTOR_LABELS and list(vectors.read(6, buffer)) == [0, 0, 1, 0]
assert plain.kind == NO_LABELS and plain.read(0, buffer) is None and plain.class_names is None


def refused(content, text):
    with open("/bad.mtd", "wb") as f:
        f.write(content)
    raises(ValueError, text, mt.Dataset, "/bad.mtd")


for at in range(4, 56):
    damaged = bytearray(content)
    damaged[at] ^= 1 << at % 8
    refused(damaged, "header damaged (CRC-32)")
for length in (0, 3, 63):
    refused(content[:length], "does not start with MTD1")
for length in (64, 1000, len(content) - 1):
    refused(content[:length], "%d B where %d are needed" % (length, len(content)))
refused(b"MTD2" + content[4:], "does not start with MTD1")
raises(OSError, "", mt.Dataset, "/nothing.mtd")
os.remove("/bad.mtd")

# The order of an epoch: every sample once, fixed by the seed.
for count in (1, 2, 64, 1000):
    shuffled = order(count, 7)
    assert sorted(shuffled) == list(range(count))
assert list(order(64, 7)) == list(order(64, 7)) != list(order(64, 8))
assert list(order(10, 0)) != list(range(10))
print("done")
