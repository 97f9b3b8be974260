# Checkpoints of a fit while it runs.

import time


class Autosave:
    """`trainer.fit(..., autosave=Autosave(path))` saves to `path` on the way: after a reset
    `trainer = model.restore(path)` and `trainer.resume(data)` end in the bytes of a fit that was
    never interrupted. The file before it stays as PATH.old, which restore() falls back to.

    seconds: at least this long between two saves; a board looks every second, and between two
    rates of the schedule. Ctrl-C saves at once. extra: of the caller, kept beside it as
    `trainer.unfinished.extra`: what JSON holds, without floats where it must come back exactly, or
    a function that returns it.
    """

    def __init__(self, path, seconds=60, extra=None):
        self.path, self.seconds, self.extra = path, seconds, extra

    def start(self, fit):
        self._next = time.ticks_add(time.ticks_ms(), int(1000 * self.seconds))

    def look(self, fit):
        # Between two steps of `fit`.
        if time.ticks_diff(self._next, time.ticks_ms()) <= 0:
            self.save(fit)

    def save(self, fit):
        from microtrain import checkpoint

        fit.extra = self.extra() if callable(self.extra) else self.extra
        checkpoint.save(fit.trainer.model, self.path, fit, generations=2)
        self.start(fit)
