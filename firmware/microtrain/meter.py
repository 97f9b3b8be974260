# Sums of what the engine counts, and the reports made of them.


class Meter:
    """Loss and hits of the samples between two looks at the engine's counters.

    sums: loss with 16 fraction bits, hits, samples, milliseconds. The first three are whole
    numbers, so that what they give does not depend on when somebody looked.
    """

    def __init__(self, trainer, sums=(0, 0, 0, 0)):
        self.session = trainer.session
        self.classes = trainer.loss_name == "cross_entropy"
        self.session.stats()
        self.loss_q16, self.correct, self.samples, milliseconds = sums
        self.seconds = milliseconds / 1000

    def sums(self):
        return [self.loss_q16, self.correct, self.samples, int(self.seconds * 1000)]

    def take(self, seconds, epoch, lr):
        loss_q16, correct, samples = self.session.stats()
        self.loss_q16 += loss_q16
        self.correct += correct
        self.samples += samples
        self.seconds += seconds
        return {
            "epoch": epoch, "samples": samples, "lr": lr, "seconds": seconds,
            "loss": loss_q16 / 65536 / samples if samples else 0.0,
            "accuracy": correct / samples if self.classes and samples else None,
        }  # fmt: skip

    def loss(self):
        return self.loss_q16 / 65536 / self.samples if self.samples else None

    def accuracy(self):
        return self.correct / self.samples if self.classes and self.samples else None

    def report(self, trainer):
        return {
            "epoch": trainer.epoch, "steps": trainer.steps, "train_loss": self.loss(),
            "train_accuracy": self.accuracy(),
            "samples_per_s": self.samples / max(self.seconds, 1e-6),
        }  # fmt: skip


def print_report(report):
    line = "epoch %(epoch)d: loss %(train_loss).4f, %(samples_per_s).0f samples/s" % report
    if report["train_accuracy"] is not None:
        line += ", accuracy %(train_accuracy).3f" % report
    if report.get("val_accuracy") is not None:
        line += ", validation %(val_accuracy).3f" % report
    elif "val_loss" in report:
        line += ", validation loss %(val_loss).4f" % report
    print(line)
