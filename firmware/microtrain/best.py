# The best epoch of a fit: when to stop, and what to keep.


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
        self.copy = self.counters = None
        if keep:
            try:
                self.copy = bytearray(len(self.state))
            except MemoryError:
                raise MemoryError(
                    "keep_best: the heap has no %d B for a copy of the trained state"
                    % len(self.state)
                ) from None

    def take(self, report):
        """An epoch's report: its val_accuracy and val_loss."""
        accuracy, trainer = report["val_accuracy"], self.trainer
        score = -report["val_loss"] if accuracy is None else accuracy
        if self.score is not None and not score > self.score:
            self.waited += 1
            return
        # Whatever Ctrl-C leaves of these lines, counters belong to the copy; without counters the
        # state itself is the best one.
        self.counters = None
        if self.copy:
            self.copy[:] = self.state
        self.counters = trainer.epoch, trainer.steps
        self.score, self.waited = score, 0
        trainer.best = {
            "epoch": trainer.epoch, "steps": trainer.steps, "loss": report["val_loss"],
            "accuracy": accuracy, "kept": bool(self.copy),
        }  # fmt: skip

    @property
    def exhausted(self):
        return 0 < self.patience <= self.waited

    def restore(self):
        """The kept epoch is what the trainer goes on from, with its counters."""
        if self.copy and self.counters:
            self.state[:] = self.copy
            self.trainer.session.refresh()
            self.trainer.epoch, self.trainer.steps = self.counters
