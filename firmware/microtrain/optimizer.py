# The update rule's settings, of which plain SGD has none.


class Optimizer:
    """How a gradient becomes an update; the learning rate apart.

    qas: quantisation-aware scaling, which makes an update what SGD on the real parameters would
    be. False: SGD on the quantised parameters of every operator below the logits, as they are,
    which needs rates larger by a factor of 1 / scale². For comparisons.
    """

    def __init__(self, qas=True):
        self.qas = bool(qas)

    def changed(self):
        """Settings that are not those of plain SGD."""
        return {} if self.qas else {"qas": False}

    def apply(self, session):
        session.optimizer(self.qas)
