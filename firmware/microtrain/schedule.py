# Learning-rate schedules: how the rate falls over the steps of one fit.

# A fit holds the rate for steps // RATES + 1 steps at a time: setting it allocates a float, and
# the loop over samples allocates nothing.
RATES = 256


def _constant(step, total):
    return 1.0


def _linear(step, total):
    return 1.0 - step / total


def _halve(step, total):
    # Source: the experiments of the numerics report, default for all schemes.
    return 0.5 ** sum(100 * step >= at * total for at in (50, 70, 85, 95))


FACTORS = {"constant": _constant, "linear": _linear, "halve": _halve}


def factor(name):
    """Function of (step, total) -> what the learning rate is multiplied by. Raises ValueError."""
    if name not in FACTORS:
        raise ValueError('schedule %r: use "constant", "linear" or "halve"' % (name,))
    return FACTORS[name]


def hold(total):
    """How many steps of a fit of `total` have the same rate."""
    return total // RATES + 1
