# Samples and labels for training: from a file, from memory, or made on the fly.

import struct
from array import array

HEADER = "<4sHHIHHIfbBHIIIIIII8x"
NO_LABELS, CLASS_LABELS, VECTOR_LABELS = 0, 1, 2


class Dataset:
    """A `.mtd` data file (host/README.md): int8 samples of `shape` (h, w, c) and labels, read one
    at a time.

    `len(data)` samples; `data.read(i, buffer)` fills `buffer` with sample i and returns its label:
    a class index, an array("f") for vector targets, or None, as `kind` says (CLASS_LABELS,
    VECTOR_LABELS, NO_LABELS). `labels` are all class indices. `data.seek(i)` returns the label
    alone and makes `data.source` what forward() and step() take for sample i, without a buffer.
    Raises ValueError for a damaged file, OSError for one that cannot be read.
    """

    def __init__(self, path):
        self.path = path
        self.source = open(path, "rb")
        header = self.source.read(64)
        if len(header) < 64 or header[:4] != b"MTD1":
            raise ValueError("%s: not a data file: it does not start with MTD1" % path)
        f = struct.unpack(HEADER, header)
        import binascii

        if binascii.crc32(header[:52]) != f[17]:
            raise ValueError("%s: header damaged (CRC-32); upload it again" % path)
        if f[1] != 1:
            raise ValueError("%s: format %d, this firmware reads 1" % (path, f[1]))
        self._count, self.shape, self.scale, self.zero_point = f[3], (f[4], f[5], f[6]), f[7], f[8]
        self.kind, self._length, labels_at, self._samples_at, meta_at, meta_length, total = f[9:16]
        self.size = f[4] * f[5] * f[6]
        length = self.source.seek(0, 2)
        if length != total or self._samples_at + self._count * self.size > total:
            raise ValueError(
                "%s: %d B where %d are needed; upload it again" % (path, length, total)
            )
        self.source.seek(meta_at)
        self._meta = self.source.read(meta_length)
        self.source.seek(labels_at)
        if self.kind == CLASS_LABELS:
            self.labels = array("H", bytes(2 * self._count))
            self.source.readinto(self.labels)
        elif self.kind == VECTOR_LABELS:
            self._target = array("f", bytes(4 * self._length))
            self._labels_at = labels_at

    @property
    def top_label(self):
        """The largest class index."""
        return max(self.labels) if self._count else 0

    def prefetch(self, order, start):
        """From order[start] on, samples are read in this order: for those that come from afar."""

    @property
    def class_names(self):
        import json

        return json.loads(self._meta or b"{}").get("class_names")

    def __len__(self):
        return self._count

    def seek(self, i):
        # Makes `source`, a stream or buffer, stand at sample i; returns its label.
        if not 0 <= i < self._count:
            raise IndexError("sample %d of %d" % (i, self._count))
        label = None
        if self.kind == CLASS_LABELS:
            label = self.labels[i]
        elif self.kind == VECTOR_LABELS:
            self.source.seek(self._labels_at + 4 * i * self._length)
            self.source.readinto(self._target)
            label = self._target
        self.source.seek(self._samples_at + i * self.size)
        return label

    def read(self, i, buffer):
        label = self.seek(i)
        if self.source.readinto(buffer) != self.size:
            raise OSError("%s: sample %d cannot be read" % (self.path, i))
        return label

    def close(self):
        self.source.close()

    def __repr__(self):
        return "<Dataset %s: %d samples of %s>" % (self.path, self._count, "%dx%dx%d" % self.shape)


class Memory(Dataset):
    """Samples in memory: `samples` bytes-like, one after the other, in the model's input
    quantisation; `labels` class indices."""

    def __init__(self, samples, labels, shape, scale=None, zero_point=None):
        self.size = shape[0] * shape[1] * shape[2]
        self._samples = memoryview(samples)
        if len(self._samples) != len(labels) * self.size:
            raise ValueError(
                "%d B of samples for %d labels: %d B needed"
                % (len(self._samples), len(labels), len(labels) * self.size)
            )
        self.path, self.shape, self.labels = "memory", tuple(shape), labels
        self._count, self.kind = len(labels), CLASS_LABELS
        self.scale, self.zero_point, self._meta = scale, zero_point, b""

    def seek(self, i):
        self.source = self._samples[i * self.size : (i + 1) * self.size]
        return self.labels[i]

    def read(self, i, buffer):
        label = self.seek(i)
        buffer[:] = self.source
        return label

    def close(self):
        pass


def order(count, seed):
    """array of 0..count-1 shuffled with xorshift32: the same on every board."""
    indices = array("H" if count < 65536 else "I", range(count))
    x = (seed * 2654435761 + 1) & 0xFFFFFFFF or 1
    for i in range(count - 1, 0, -1):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        j = x % (i + 1)
        indices[i], indices[j] = indices[j], indices[i]
    return indices
