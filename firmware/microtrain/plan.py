# What one training step needs: the engine's plan, as numbers, a table and JSON.

import gc
import json

import _microtrain

from microtrain import scheme as schemes

ROW_BY_ROW = 2  # enum mt_stream_kind: all that can
LOSSES = {"cross_entropy": _microtrain.CROSS_ENTROPY, "mse": _microtrain.MSE}


class Plan:
    """What one training step needs. `info` holds the numbers (bytes, multiply-accumulates);
    printing it gives a table, `json()` the host's object."""

    def __init__(
        self, model, scheme, loss, wide=False, gradient_bits=8, momentum_bits=0, cores=1
    ):
        if loss not in LOSSES:
            raise ValueError('loss %r: use "cross_entropy" or "mse"' % (loss,))
        self.net = model.net
        self.model_name, self.scheme = model.name, schemes.name_of(scheme)
        layers = schemes.resolve(model.net, scheme)
        gc.collect()  # what is allocated next lies low, and leaves the arena a larger piece
        self.engine = _microtrain.Plan(
            model.net, layers, LOSSES[loss], model.new_classes, wide, gradient_bits,
            momentum_bits, ROW_BY_ROW, cores,
        )  # fmt: skip
        self.info = self.engine.info()

    def layers(self):
        """One dict an operator."""
        for i in range(len(self.net)):
            name, kind, shape, _, _, _ = self.net.op(i)
            weights, bias, saved, mask, forward, backward = self.engine.layer(i)
            yield {
                "index": i, "name": name, "op": kind, "output": list(shape),
                "trained_weights": weights, "trained_bias": bias, "saved_bytes": saved,
                "mask_bytes": mask, "forward_macs": forward, "backward_macs": backward,
            }  # fmt: skip

    def json(self):
        result = {"model": self.model_name, "scheme": self.scheme}
        result.update(self.info)
        result["layers"] = list(self.layers())
        return json.dumps(result)

    def __repr__(self):
        info = self.info
        rest = info["table_bytes"] + info["derived_bytes"]
        lines = [
            "plan of %s, scheme %s: %d B RAM"
            % (self.model_name, self.scheme, info["total_ram_bytes"]),
            "  arena %d B (lower bound %d), trained state %d B, tables %d B, image %d B"
            % (info["arena_bytes"], info["arena_lower_bound_bytes"], info["state_bytes"], rest,
               info["flash_bytes"]),
            "  row by row: the first %d operators%s"
            % (info["stream_ops"], ", and the sample" if info["input_rows"] else ""),
            "  multiply-accumulates: forward %d, backward %d"
            % (info["forward_macs"], info["backward_macs"]),
            "  %-24s %8s %6s %8s %8s" % ("trained", "weights", "bias", "saved B", "mask B"),
        ]  # fmt: skip
        if info["optimizer_bytes"]:
            lines.insert(2, "  of the state, optimizer %d B" % info["optimizer_bytes"])
        for layer in self.layers():
            if layer["trained_weights"] or layer["trained_bias"] or layer["mask_bytes"]:
                lines.append(
                    "  %(name)-24s %(trained_weights)8d %(trained_bias)6d %(saved_bytes)8d"
                    " %(mask_bytes)8d" % layer
                )
        return "\n".join(lines)
