# Random changes of training samples, made by the engine in place.

from array import array

LIMITS = {"shift": 65535, "brightness": 255, "cutout": 65535}


class Augment:
    """Changes that `Trainer.fit(augment=...)` makes to each sample before its step.

    flip: mirror it along its width, one time in two. shift: move it by up to this many pixels
    along the width, and the height where that is not 1. brightness: add up to this much, up or
    down, in units of the int8 input (1/256 of its range). cutout: blank a square of this many
    pixels a side, part of which may lie outside. Blank pixels, and those that shift in, hold the
    zero point. In this order: flip, brightness, shift, cut-out. 0 leaves a change out. seed: of
    the generator, which starts anew every epoch; the same on every board.
    A signal, of height 1, takes flip and shift alone. Raises ValueError.
    """

    def __init__(self, flip=False, shift=0, brightness=0, cutout=0, seed=1):
        given = {"shift": shift, "brightness": brightness, "cutout": cutout}
        for name, most in LIMITS.items():
            if not 0 <= given[name] <= most:
                raise ValueError("%s=%r: 0 to %d" % (name, given[name], most))
        self.seed = seed
        self.settings = array("I", (bool(flip), shift, brightness, cutout, 0))  # mt_augment_t
        self.start(0)

    def stored(self):
        """For a checkpoint: settings, state of the generator, seed."""
        stored = list(self.settings)
        stored.append(self.seed)
        return stored

    @staticmethod
    def read(stored):
        """The Augment that stored() is of."""
        flip, shift, brightness, cutout, state, seed = stored
        augment = Augment(flip, shift, brightness, cutout, seed)
        augment.settings[4] = state
        return augment

    def check(self, model):
        """Raise ValueError where the model's samples do not take these changes."""
        _, _, brightness, cutout, _ = self.settings
        if model.input_shape[0] == 1 and (brightness or cutout):
            raise ValueError(
                "%s takes signals (height 1): of augmentations only flip and shift" % model.name
            )

    def start(self, epoch):
        # Apart from the generator that shuffles, for every seed.
        x = (self.seed * 2654435761 + (epoch + 1) * 2246822519) & 0xFFFFFFFF
        self.settings[4] = x or 1
