# A network on the board: its image, and what has been trained of it.

import json

import _microtrain
from microtrain import scheme as schemes

LOSSES = {"cross_entropy": _microtrain.CROSS_ENTROPY, "mse": _microtrain.MSE}


def load_image(path):
    # A file in ROMFS is memory-mapped and read in place; any other is copied to RAM.
    with open(path, "rb") as f:
        try:
            data = memoryview(f)
            return _microtrain.Model(data), True
        except TypeError:
            f.seek(0, 2)
            length = f.tell()
            f.seek(0)
            data = bytearray(length)
            f.readinto(data)
    return _microtrain.Model(data), False


class Plan:
    """What one training step needs. `info` holds the numbers; printing it gives a table, `json()` the host's object."""

    def __init__(self, model, scheme, loss):
        self.net = model.net
        self.model_name, self.scheme = model.name, schemes.name_of(scheme)
        layers = schemes.resolve(model.net, scheme)
        self.engine = _microtrain.Plan(model.net, layers, LOSSES[loss], model.new_classes)
        self.info = self.engine.info()

    def layers(self):
        """One dict an operator."""
        for i in range(len(self.net)):
            name, kind, shape, _, _, _ = self.net.op(i)
            weights, bias, saved, mask, forward, backward = self.engine.layer(i)
            yield {
                "index": i, "name": name, "op": kind, "output": list(shape), "trained_weights": weights, "trained_bias": bias,
                "saved_bytes": saved, "mask_bytes": mask, "forward_macs": forward, "backward_macs": backward,
            }  # fmt: skip

    def json(self):
        result = {"model": self.model_name, "scheme": self.scheme}
        result.update(self.info)
        result["layers"] = list(self.layers())
        return json.dumps(result)

    def __repr__(self):
        info = self.info
        lines = ["plan of %s, scheme %s: %d B RAM" % (self.model_name, self.scheme, info["total_ram_bytes"])]
        lines.append("  arena %(arena_bytes)d B (lower bound %(arena_lower_bound_bytes)d), trained state %(state_bytes)d B, tables" % info
                     + " %d B, image %d B" % (info["table_bytes"] + info["derived_bytes"], info["flash_bytes"]))
        lines.append("  multiply-accumulates: forward %(forward_macs)d, backward %(backward_macs)d" % info)
        lines.append("  %-24s %8s %6s %8s %8s" % ("trained", "weights", "bias", "saved B", "mask B"))
        for l in self.layers():
            if l["trained_weights"] or l["trained_bias"] or l["mask_bytes"]:
                lines.append("  %(name)-24s %(trained_weights)8d %(trained_bias)6d %(saved_bytes)8d %(mask_bytes)8d" % l)
        return "\n".join(lines)


class Model:
    """A network from an image file (.mtm) or bytes-like object.

    `name`, `labels`, `input_shape` (h, w, c), `classes`. A model without a trainer runs exactly as imported; one with a trainer
    runs with what that trainer has learned.
    Raises ValueError for a damaged image, saying what is wrong, and OSError for a missing file.
    """

    def __init__(self, image):
        if isinstance(image, str):
            self.path = image
            self.net, self.in_place = load_image(image)
        else:
            self.path, self.net, self.in_place = "memory", _microtrain.Model(image), True
        meta = json.loads(self.net.meta or "{}")
        self.name = meta.get("name") or self.path
        self.labels = meta.get("labels")
        self.new_classes = 0
        self.session = None  # of the current trainer
        self.scheme = None
        self._inference = None
        h, w, c, self.input_scale, self.input_zero_point = self.net.input
        self.input_shape = (h, w, c)

    @property
    def classes(self):
        h, w, c, _, _ = self.net.output
        return self.new_classes or h * w * c

    def new_head(self, classes, labels=None):
        """Replace the last linear operator by a zero-initialised one with `classes` outputs; its trainer must come next."""
        if self.session:
            raise ValueError("this model has been trained: load it again, or model.reset(), before new_head()")
        if classes < 2:
            raise ValueError("%d classes: a head needs 2 or more" % classes)
        _microtrain.Plan(self.net, [(i, True, n) for i, _, n in schemes.resolve(self.net, "last")], 1, classes)
        self.new_classes = classes
        self.labels = labels
        self._inference = None

    def plan(self, scheme="last", loss="cross_entropy"):
        """What training with `scheme` needs: a Plan."""
        return Plan(self, scheme, loss)

    def reset(self):
        """Forget everything trained and any new head."""
        self.session = self.scheme = self._inference = None
        self.new_classes = 0

    def _runner(self):
        if self.session:
            return self.session
        if self.new_classes:
            raise ValueError("the new head is not trained yet: make a Trainer, or restore() a checkpoint")
        if not self._inference:
            self._inference = _microtrain.Session(_microtrain.Plan(self.net))
        return self._inference

    def quantize(self, x):
        """bytearray of int8 in the input's quantisation from an iterable of real values."""
        scale, zero = self.input_scale, self.input_zero_point
        return bytearray(min(127, max(-128, round(v / scale) + zero)) & 255 for v in x)

    def forward(self, x):
        """memoryview of the outputs for int8 sample x (bytes-like): int8 as imported, or int32 logits (16 fraction bits) once trained."""
        runner = self._runner()
        runner.forward(x)
        return runner.output()

    def predict(self, x):
        """Class of int8 sample x: its label where the model has labels, else its index."""
        runner = self._runner()
        runner.forward(x)
        best = runner.argmax()
        return self.labels[best] if self.labels else best

    def save(self, path):
        """Write what has been trained to a checkpoint (.mtc)."""
        from microtrain import checkpoint

        checkpoint.save(self, path)

    def restore(self, path):
        """Take what a checkpoint of this model holds. Returns the Trainer that goes on with it."""
        from microtrain import checkpoint

        return checkpoint.restore(self, path)

    def __repr__(self):
        return "<Model %s: input %dx%dx%d, %d classes, %d operators, %d B %s%s>" % (
            (self.name,) + self.input_shape
            + (self.classes, len(self.net), self.net.length, "in place" if self.in_place else "in RAM",
               ", trained (%s)" % schemes.name_of(self.scheme) if self.session else "")
        )  # fmt: skip
