# A network on the board: its image, and what has been trained of it.

import json

import _microtrain

from microtrain import scheme as schemes
from microtrain.plan import Plan
from microtrain.signature import board_key


def load_image(path, key):
    # A file in ROMFS is memory-mapped and read in place; any other is copied to RAM.
    with open(path, "rb") as f:
        try:
            data = memoryview(f)
            return _microtrain.Model(data, True, key), True
        except TypeError:
            f.seek(0, 2)
            length = f.tell()
            f.seek(0)
            try:
                data = bytearray(length)
            except MemoryError:
                raise MemoryError(
                    "%s: its %d B do not fit the heap: put it into ROMFS with `microtrain push`,"
                    " where it is read in place" % (path, length)
                ) from None
            f.readinto(data)
    return _microtrain.Model(data, True, key), False


class Model:
    """A network from an image file (.mtm) or bytes-like object.

    `name`, `labels`, `input_shape` (h, w, c), `classes`. A model without a trainer runs exactly as
    imported; one with a trainer runs with what that trainer has learned.
    Raises ValueError for a damaged image, saying what is wrong, or one without the signature that
    this board asks for (microtrain.signature), and OSError for a missing file.
    """

    def __init__(self, image):
        key = board_key()
        if isinstance(image, str):
            self.path = image
            self.net, self.in_place = load_image(image, key)
        else:
            self.path, self.in_place = "memory", True
            self.net = _microtrain.Model(image, True, key)
        meta = json.loads(self.net.meta or "{}")
        self.name = meta.get("name") or self.path
        self.labels = meta.get("labels")
        self.new_classes = 0
        self.trainer = None  # the current one
        self._inference = None
        h, w, c, self.input_scale, self.input_zero_point = self.net.input
        self.input_shape = (h, w, c)

    @property
    def classes(self):
        h, w, c, _, _ = self.net.output
        return self.new_classes or h * w * c

    def new_head(self, classes, labels=None):
        """Replace the last linear operator by a zero-initialised one with `classes` outputs; its
        trainer must come next."""
        if self.trainer:
            raise ValueError(
                "this model has been trained: load it again, or model.reset(), before new_head()"
            )
        if classes < 2:
            raise ValueError("%d classes: a head needs 2 or more" % classes)
        _microtrain.Plan(self.net, schemes.resolve(self.net, "last"), 1, classes)
        self.new_classes = classes
        self.labels = labels
        self._inference = None

    def plan(
        self, scheme="last", loss="cross_entropy", wide=False, gradient_bits=8, momentum_bits=0,
        cores=1
    ):  # fmt: skip
        """What training with `scheme` needs: a Plan."""
        return Plan(self, scheme, loss, wide, gradient_bits, momentum_bits, cores)

    def reset(self):
        """Forget everything trained and any new head."""
        self.trainer = self._inference = None
        self.new_classes = 0

    def runner(self):
        """The engine's session that predictions run in."""
        if self.trainer:
            return self.trainer.session
        if self.new_classes:
            raise ValueError(
                "the new head is not trained yet: make a Trainer, or restore() a checkpoint"
            )
        if not self._inference:
            self._inference = _microtrain.Session(_microtrain.Plan(self.net))
        return self._inference

    def check(self, data):
        """Raise ValueError, with the numbers, for a Dataset of another shape or quantisation."""
        if tuple(data.shape) != self.input_shape:
            raise ValueError(
                "%r does not fit %s, which takes %s"
                % (data, self.name, "%dx%dx%d" % self.input_shape)
            )
        scale, zero = self.input_scale, self.input_zero_point
        if data.scale is not None and (
            abs(data.scale / scale - 1) > 1e-3 or data.zero_point != zero
        ):
            raise ValueError(
                "%r was quantised with scale %g, zero point %d; %s needs %g, %d: make it again"
                " with --model" % (data, data.scale, data.zero_point, self.name, scale, zero)
            )

    def quantize(self, x):
        """bytearray of int8 in the input's quantisation from an iterable of real values."""
        scale, zero = self.input_scale, self.input_zero_point
        return bytearray(min(127, max(-128, round(v / scale) + zero)) & 255 for v in x)

    def forward(self, x):
        """memoryview of the outputs for int8 sample x (bytes-like): int8 as imported, or int32
        logits (16 fraction bits) once trained."""
        runner = self.runner()
        runner.forward(x)
        return runner.output()

    def predict(self, x):
        """Class of int8 sample x: its label where the model has labels, else its index."""
        runner = self.runner()
        runner.forward(x)
        best = runner.argmax()
        return self.labels[best] if self.labels else best

    def save(self, path):
        """Write what has been trained to a checkpoint (.mtc)."""
        from microtrain import checkpoint

        checkpoint.save(self, path)

    def restore(self, path, notice=print, cores=1):
        """Take what a checkpoint of this model holds. Returns the Trainer that goes on with it, on
        1 or 2 cores. notice(text) is called where the file is damaged or missing and an older one
        is taken."""
        from microtrain import checkpoint

        return checkpoint.restore(self, path, notice, cores)

    def __repr__(self):
        return "<Model %s: input %s, %d classes, %d operators, %d B %s%s>" % (
            self.name, "%dx%dx%d" % self.input_shape, self.classes, len(self.net), self.net.length,
            "in place" if self.in_place else "in RAM",
            ", trained (%s)" % schemes.name_of(self.trainer.scheme) if self.trainer else "",
        )  # fmt: skip
