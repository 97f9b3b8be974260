# What is trained: from a scheme's name or its JSON form to what the engine takes.

from array import array

WEIGHTED = ("conv2d", "depthwise_conv2d", "linear")


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


def _before_head(scheme, most):
    # 0 of "last", K of "last-K"
    if scheme == "last":
        return 0
    if isinstance(scheme, str) and scheme[:5] == "last-" and scheme[5:].isdigit():
        if 0 < int(scheme[5:]) <= most:
            return int(scheme[5:])
        raise ValueError("scheme %r: K of last-K is 1 to %d in this model" % (scheme, most))
    raise ValueError(
        'scheme %r: use "last", "last-K", "bias", "full", or a dict of layers' % (scheme,)
    )


def resolve(net, scheme):
    """[(operator, bias, channels)] of a scheme for `_microtrain.Model` net.

    scheme: "last" (the head), "last-K" (it and all of the K operators with weights before it),
    "bias" (every bias and the head), "full", or a dict
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
    trained = [i for i in range(head + 1) if net.op(i)[1] in WEIGHTED]
    if scheme not in ("bias", "full"):
        trained = trained[-1 - _before_head(scheme, len(trained) - 1) :]
    return [(i, True, 0 if scheme == "bias" and i != head else net.op(i)[3]) for i in trained]


def name_of(scheme):
    return scheme.get("name", "custom") if isinstance(scheme, dict) else scheme
