# Learning-rate schedules: what the learning rate is multiplied by over the steps of one fit.
#
# Every factor is made with + - * / of whole numbers and floats alone, which IEEE 754 rounds in one
# way, and not with a C library's cos or pow: the same bits on every board.

# A fit holds a rate for steps // RATES + 1 steps: setting it allocates a float, and the loop over
# samples allocates nothing.
RATES = 256
HALVE = "step=0.5@50,70,85,95"  # Source: the experiments of the numerics report
USE = 'use "constant", "linear", "cosine", "halve" or "step=FACTOR@PERCENT,PERCENT..."'


def _constant(step, total):
    return 1.0


def _linear(step, total):
    return 1.0 - step / total


def _cosine(step, total):
    # 0.5 (1 + cos(pi t / T)) = sin(x)^2, x = pi/2 (T - t) / T: exact to the last steps, where the
    # left side is the difference of two numbers near 1. Source: the MCUNetV3 recipe.
    # pi/2 is its nearest single, 13176795 / 2^23; the sine its series up to x^13 (error < 1e-9).
    x = (total - step) / total * 13176795 / 8388608
    square, sine = x * x, 1.0
    for n in (156, 110, 72, 42, 20, 6):
        sine = 1.0 - square / n * sine
    return x * sine * (x * sine)


def _step(text):
    # "FACTOR@PERCENT,PERCENT...": multiplied by FACTOR at each of these parts of the steps.
    by, at = text.split("@")
    by, at = float(by), [int(percent) for percent in at.split(",")]
    if not 0 < by <= 1 or min(at) < 0 or max(at) > 100:
        raise ValueError

    def factor(step, total):
        product = 1.0
        for percent in at:
            if 100 * step >= percent * total:
                product *= by
        return product

    return factor


FACTORS = {"constant": _constant, "linear": _linear, "cosine": _cosine}


class Schedule:
    """What the rate is multiplied by over `total` steps: step / warmup in the first `warmup` of
    them, then the schedule `name` over the others. Raises ValueError."""

    def __init__(self, name, total, warmup=0):
        if not 0 <= warmup < max(1, total):
            raise ValueError(
                "a warm-up of %d steps: this fit has %d, use fewer" % (warmup, total)
            )
        self.total, self.warmup = total, warmup
        text = HALVE if name == "halve" else name
        try:
            self.factor = _step(text[5:]) if text[:5] == "step=" else FACTORS[text]
        except (KeyError, TypeError, ValueError):
            raise ValueError("schedule %r: %s" % (name, USE)) from None

    def at(self, step):
        """(factor at `step`, first step that has another one)."""
        warm = step < self.warmup
        first, stop = (0, self.warmup) if warm else (self.warmup, self.total)
        hold = (stop - first) // RATES + 1
        begin = (step - first) // hold * hold
        factor = begin / stop if warm else self.factor(begin, stop - first)
        return factor, min(stop, first + begin + hold)
