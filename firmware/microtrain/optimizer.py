# The update rule's settings, of which plain SGD has none.

import struct

PLAIN = {
    "qas": True, "momentum": 0.0, "weight_decay": 0.0, "accumulate": 1, "momentum_bits": 0,
}  # fmt: skip
REAL = ("momentum", "weight_decay")


class Optimizer:
    """SGD as torch.optim.SGD has it: v = momentum · v + g + weight_decay · w, w -= lr · v.

    momentum: 0 to below 1. weight_decay: of every trained parameter, biases too. accumulate:
    samples, at most 65535, whose mean gradient makes one update, counted over epochs' ends.
    momentum_bits: 8 or 16 for each trained parameter's v, which momentum and accumulate need: 16
    where they are given and it is not; 0: there is none.
    qas: quantisation-aware scaling, which makes an update what SGD on the real parameters would
    be. False: SGD on the quantised parameters of every operator below the logits, as they are,
    which needs rates larger by a factor of 1 / scale². For comparisons.
    """

    def __init__(self, **settings):
        self.settings = dict(PLAIN)
        for name in settings:
            if name not in PLAIN:
                raise TypeError("%s: not one of %s" % (name, ", ".join(sorted(PLAIN))))
        self.settings.update(settings)
        s = self.settings
        if not s["momentum_bits"] and (s["momentum"] or s["accumulate"] != 1):
            s["momentum_bits"] = 16

    @property
    def momentum_bits(self):
        return self.settings["momentum_bits"]

    @staticmethod
    def read(stored):
        """The keywords that stored() was made of."""
        return {k: _real(v) if k in REAL else v for k, v in stored.items()}

    def stored(self):
        """changed() for a checkpoint: real numbers as the bits of a float32, which are the same
        on every board."""
        return {k: _bits(v) if k in REAL else v for k, v in self.changed().items()}

    def changed(self):
        """Settings that are not those of plain SGD."""
        return {name: value for name, value in self.settings.items() if value != PLAIN[name]}

    def apply(self, session):
        s = self.settings
        session.optimizer(s["momentum"], s["weight_decay"], s["accumulate"], s["qas"])


def _bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def _real(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]
