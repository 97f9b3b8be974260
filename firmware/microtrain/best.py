# The best epoch of a fit: when to stop, and what to keep.

from microtrain.meter import Meter


class Best:
    """Follows the validation of `trainer`, its accuracy or, where there is none, its loss.

    patience: epochs in a row without a better one after which `exhausted` is true, 0: never.
    keep: holds a copy of the best epoch's state, len(trainer.session.state()) bytes of heap, taken
    here. Raises MemoryError.
    """

    def __init__(self, trainer, patience, keep):
        self.trainer, self.patience, self.score, self.waited = trainer, patience, None, 0
        trainer.best = None
        self.state = trainer.session.state()
        self.copy = self.counters = self.sums = None
        if keep:
            try:
                self.copy = bytearray(len(self.state))
            except MemoryError:
                raise MemoryError(
                    "keep_best: the heap has no %d B for a copy of the trained state"
                    % len(self.state)
                ) from None

    def take(self, scores):
        """An epoch's Meter of the validation data."""
        trainer, score = self.trainer, _score(scores)
        if self.score is not None and not score > self.score:
            self.waited += 1
            return
        # Whatever Ctrl-C leaves of these lines, counters belong to the copy; without counters the
        # state itself is the best one.
        self.counters = None
        if self.copy:
            self.copy[:] = self.state
        self.counters = trainer.epoch, trainer.steps
        self.score, self.waited, self.sums = score, 0, scores.sums()
        self._tell(scores)

    def _tell(self, scores):
        self.trainer.best = {
            "epoch": self.counters[0], "steps": self.counters[1], "loss": scores.loss(),
            "accuracy": scores.accuracy(), "kept": bool(self.copy),
        }  # fmt: skip

    def stored(self):
        """For a checkpoint, as JSON has it; None: there was no epoch yet."""
        if self.score is None:
            return None
        epoch, steps = self.counters
        return {"epoch": epoch, "steps": steps, "sums": self.sums, "waited": self.waited}

    def read(self, stored):
        """What stored() returned, without the copy."""
        self.sums, self.waited = stored["sums"], stored["waited"]
        self.counters = stored["epoch"], stored["steps"]
        scores = Meter(self.trainer, self.sums)
        self.score = _score(scores)
        self._tell(scores)

    @property
    def kept(self):
        """The copy of the best epoch's state, where there is one."""
        return self.copy if self.score is not None else None

    @property
    def exhausted(self):
        return 0 < self.patience <= self.waited

    def restore(self):
        """The kept epoch is what the trainer goes on from, with its counters."""
        if self.copy and self.counters:
            self.state[:] = self.copy
            self.trainer.session.refresh()
            self.trainer.epoch, self.trainer.steps = self.counters


def _score(scores):
    accuracy = scores.accuracy()
    return -scores.loss() if accuracy is None else accuracy
