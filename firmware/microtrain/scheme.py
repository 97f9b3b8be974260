# What is trained: from a scheme's name or its JSON form to what the engine takes.

from array import array

WEIGHTED = ("conv2d", "depthwise_conv2d", "linear")
NAMES = ("last", "bias", "full")


def _head(net):
    for i in range(len(net) - 1, -1, -1):
        if net.op(i)[1] in WEIGHTED:
            return i
    raise ValueError("the network has no operator with weights: nothing to train")


def _channels(name, weights, in_c):
    # 0, a count, or array("H") of input channels
    if weights is None or weights == "none":
        return 0
    if weights == "all":
        return in_c
    if isinstance(weights, int):
        if not 0 <= weights <= in_c:
            raise ValueError(
                "%s: weights of %d input channels asked, it has %d" % (name, weights, in_c)
            )
        return weights
    chosen = sorted(weights)
    if chosen and (chosen[0] < 0 or chosen[-1] >= in_c):
        raise ValueError("%s: input channel %d out of range 0..%d" % (name, chosen[-1], in_c - 1))
    return in_c if len(chosen) == in_c else array("H", chosen)


def resolve(net, scheme):
    """[(operator, bias, channels)] of a scheme for `_microtrain.Model` net.

    scheme: "last" (the head), "bias" (every bias and the head), "full", or a dict
    {"layers": {operator name: {"bias": bool, "weights": "none" | "all" | N | [channels]}}}, to
    which the head is added unless it is named. Raises ValueError.
    """
    head = _head(net)
    layers = []
    if isinstance(scheme, dict):
        given = dict(scheme["layers"])
        for i in range(len(net)):
            name, kind, _, in_c, _, _ = net.op(i)
            entry = given.pop(name, None)
            if entry is None:
                if i == head:
                    layers.append((i, True, in_c))
                continue
            if kind not in WEIGHTED:
                raise ValueError("%s: a %s has nothing to train" % (name, kind))
            channels = _channels(name, entry.get("weights"), in_c)
            layers.append((i, bool(entry.get("bias", False)), channels))
        if given:
            raise ValueError("the model has no %s, which the scheme trains" % ", ".join(given))
        return layers
    if scheme not in NAMES:
        raise ValueError('scheme %r: use "last", "bias", "full", or a dict of layers' % (scheme,))
    for i in range(len(net)):
        _, kind, _, in_c, _, _ = net.op(i)
        if i == head or (scheme == "full" and kind in WEIGHTED):
            layers.append((i, True, in_c))
        elif scheme == "bias" and kind in WEIGHTED:
            layers.append((i, True, 0))
    return layers


def name_of(scheme):
    return scheme.get("name", "custom") if isinstance(scheme, dict) else scheme
