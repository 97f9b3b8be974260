# Checkpoints of a fit while it runs, and what they cost the flash.

import os
import time

from microtrain import checkpoint

ERASES = 100000  # that a block of NOR flash stands, by data sheet
DAY_S = 86400
LONGEST_MS = 1 << 28  # time.ticks_ms() goes round in four times that: three days


class Autosave:
    """`trainer.fit(..., autosave=Autosave(path))` saves to `path` on the way: after a reset
    `trainer = model.restore(path)` and `trainer.resume(data)` end in the bytes of a fit that was
    never interrupted. The file before it stays as PATH.old, which restore() falls back to.

    seconds: at least this long between two saves; a board looks every second, and between two
    rates of the schedule. Ctrl-C saves at once. extra: of the caller, kept beside it as
    `trainer.unfinished.extra`: what JSON holds, without floats where it must come back exactly, or
    a function that returns it. years: so much longer than `seconds`, if need be, that the flash
    lasts this long, by `wear()`; 0: no limit. notice: is told the wear, once, and what cannot be
    saved; None: nobody is. late: the wear is told at the first save, not at the start.
    """

    def __init__(self, path, seconds=60, extra=None, years=10, notice=print, late=False):
        self.path, self.seconds, self.years = path, seconds, years
        self.extra, self.notice, self.late = extra, notice, late
        self.saves = 0

    def wear(self, fit):
        """What saving costs: bytes and erases a save, over how many free blocks littlefs levels
        them, seconds between two saves, and years until each block has had ERASES; None without
        limit."""
        size = checkpoint.size(fit.trainer.model, fit)
        folder, slash, _ = self.path.rpartition("/")
        found = os.statvfs(folder or slash or ".")
        block, blocks = found[1], max(1, found[3])
        # littlefs begins a block of a file with pointers to others; and the directory's is erased
        # in one save of two or three.
        erases = size // (block - 8) + 2
        years_a_second = ERASES * blocks / erases / (365 * DAY_S)
        seconds = max(self.seconds, self.years / years_a_second)
        return {
            "bytes": size, "erases": erases, "blocks": blocks, "seconds": seconds,
            "years": seconds * years_a_second if seconds else None,
        }  # fmt: skip

    def start(self, fit):
        # Before the first step of `fit`.
        wear = self.wear(fit)
        self._wait_ms = min(int(1000 * wear["seconds"]), LONGEST_MS)
        self._rest()
        self._cost = self._words(wear)
        if self.notice and not self.late:
            self.notice(self._cost)

    def _words(self, wear):
        text = "%s: %d B and %d erases a save, " % (self.path, wear["bytes"], wear["erases"])
        if wear["seconds"]:
            text += "at most %d saves a day: %.3g years to %d erases of each of %d free blocks" % (
                DAY_S / wear["seconds"], wear["years"], ERASES, wear["blocks"]
            )  # fmt: skip
        else:
            text += "as often as can be"
        return text

    def _rest(self):
        self._next = time.ticks_add(time.ticks_ms(), self._wait_ms)

    def look(self, fit):
        # Between two steps of `fit`.
        if time.ticks_diff(self._next, time.ticks_ms()) > 0:
            return
        try:
            self.save(fit)
        except OSError as error:
            # The run is worth more than its copy: it goes on, and the last save is still there.
            self._rest()
            if self.notice:
                self.notice("%s: not saved: %r; the save before it is kept" % (self.path, error))

    def save(self, fit):
        fit.extra = self.extra() if callable(self.extra) else self.extra
        checkpoint.save(fit.trainer.model, self.path, fit, generations=2)
        if self.notice and self.late and not self.saves:
            self.notice(self._cost)
        self.saves += 1
        self._rest()
