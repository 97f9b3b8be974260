# The power goes at every erase and write of checkpoint saves; runs on the virtual board, one
# function for what is measured. They print what test_power_cuts.py reads.

import errno
import hashlib
import os

from power import Disk, Flash, format, mount, unmount

import microtrain as mt
from microtrain import checkpoint

TORN = {Flash: ("none", "half", "bits"), Disk: ("none",)}
OTHER = bytes(range(256)) * 20
data = mt.Dataset("/train.mtd")
x = bytearray(data.size)


class Stop(Exception):
    pass


class Saver(mt.Autosave):
    # Stops a fit and keeps it.
    def look(self, fit):
        self.fit = fit
        raise Stop


def started():
    # (trainer, a fit of it that goes on)
    trainer = mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=5)
    saver = Saver("/s", notice=None)
    try:
        trainer.fit(data, 2, augment=mt.Augment(flip=True), autosave=saver)
    except Stop:
        return trainer, saver.fit


class Checkpoint:
    """Saves of a checkpoint, in one generation or two, with or without the fit that goes on;
    `removed`: after removing the old one, which nobody should do: cuts must show it."""

    def __init__(self, generations=1, large=False, removed=False):
        self.generations, self.large, self.removed = generations, large, removed
        self.trainer, self.fit = started()
        self.path = "/f/c.mtc"

    def change(self, number):
        self.trainer.step(x, number % 4)
        self.fit.done, self.fit.extra = self.trainer.steps, {"pad": "x" * 20000}

    def save(self):
        if self.removed:
            try:
                os.remove(self.path)
            except OSError:
                pass
        fit = self.fit if self.large else None
        checkpoint.save(self.trainer.model, self.path, fit, self.generations)

    def found(self):
        # What restore() finds: None where there is nothing.
        try:
            trainer = mt.Model("/tiny.mtm").restore(self.path, lambda text: None)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        done = trainer.unfinished.done if trainer.unfinished else None
        return hashlib.sha256(trainer.session.state()).digest(), trainer.steps, done


class Image:
    """A model on the file system, as a host pushes it: NAME.part, renamed over NAME."""

    def change(self, number):
        with open("/tiny.mtm" if number % 2 else "/other.mtm", "rb") as f:
            self.content = f.read()

    def save(self):
        with open("/f/net.mtm.part", "wb") as f:
            for at in range(0, len(self.content), 512):
                f.write(self.content[at : at + 512])
        os.rename("/f/net.mtm.part", "/f/net.mtm")

    def found(self):
        try:
            return mt.Model("/f/net.mtm").net.sha256
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise


KINDS = {
    "checkpoint, one generation": lambda: Checkpoint(),
    "checkpoint, two generations": lambda: Checkpoint(2),
    "checkpoint of a fit, 24 KB, two generations": lambda: Checkpoint(2, large=True),
    "model image, pushed over another": Image,
    "control: removed before it is written": lambda: Checkpoint(removed=True),
}


def others_are_whole():
    with open("/f/other", "rb") as f:
        return f.read() == OTHER


def cut(chip, image, at, torn, save):
    # The image after save() on it, whose operation `at` is the last.
    flash = chip(image=image)
    mount(flash)
    flash.cut_at(at, torn)
    try:
        save()
        raise AssertionError("no cut at operation %d" % at)
    except OSError as error:
        assert error.errno == errno.EIO, error
    unmount()
    return flash.image


def run(name, saves, chip=Flash):
    """Cuts every operation of `saves` saves, one after the other, in every way. Prints the number
    of operations, cuts, and losses: neither the old nor the new one found, another file damaged,
    or a file system that does not take the next save."""
    kind = KINDS[name]()
    flash = chip(64 * 4096 // chip.BLOCK)
    format(flash)
    mount(flash)
    with open("/f/other", "wb") as f:
        f.write(OTHER)
    unmount()
    old, operations, cuts, losses = None, 0, 0, 0
    for number in range(saves):
        kind.change(number)
        image = flash.image
        flash = chip(image=image)
        mount(flash)
        kind.save()
        new, count = kind.found(), flash.operations
        unmount()
        assert new and new != old and count > 2
        operations += count
        for at in range(1, count + 1):
            for torn in TORN[chip]:
                cuts += 1
                mount(chip(image=cut(chip, image, at, torn, kind.save)))
                whole = kind.found() in (old, new) and others_are_whole()
                kind.save()  # and the file system goes on
                losses += not (whole and kind.found() == new and others_are_whole())
                unmount()
        old = new
    print(operations, cuts, losses)
