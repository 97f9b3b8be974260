# Checkpoints (.mtc): what has been trained of a model, and nothing else. Specification: firmware/README.md.

import hashlib
import json
import os
import struct

HEADER = "<4sHHII32s"  # magic, major, minor, length of the description, length of the state, SHA-256 of the image


def save(model, path):
    """Write atomically: a reader finds the old file or the new one, never a part."""
    if not model.session:
        raise ValueError("nothing has been trained yet")
    about = json.dumps(
        {"scheme": model.scheme, "loss": model.loss_name, "new_classes": model.new_classes, "labels": model.labels, "model": model.name}
    ).encode()
    state = model.session.state()
    digest = hashlib.sha256()
    part = path + ".part"
    with open(part, "wb") as f:
        for piece in (struct.pack(HEADER, b"MTC1", 1, 0, len(about), len(state), model.net.sha256), about, state):
            digest.update(piece)
            f.write(piece)
        f.write(digest.digest())
        f.flush()
    os.rename(part, path)


def restore(model, path):
    """Check the whole file first: a damaged one, or one of another model, changes nothing. Raises ValueError."""
    from microtrain.trainer import Trainer

    with open(path, "rb") as f:
        data = f.read()
    size = struct.calcsize(HEADER)
    if len(data) < size + 32 or data[:4] != b"MTC1":
        raise ValueError("%s: not a checkpoint: it does not start with MTC1" % path)
    _, major, _, about_length, state_length, image = struct.unpack(HEADER, data[:size])
    if major != 1:
        raise ValueError("%s: format %d, this firmware reads 1" % (path, major))
    if len(data) != size + about_length + state_length + 32:
        raise ValueError("%s: truncated: %d B of %d" % (path, len(data), size + about_length + state_length + 32))
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError("%s: damaged: SHA-256 does not match" % path)
    if image != model.net.sha256:
        raise ValueError("%s: saved from another image than %s" % (path, model.name))
    about = json.loads(data[size : size + about_length])
    before = (model.session, model.scheme, model.new_classes, model.labels)
    model.session, model.new_classes, model.labels = None, about["new_classes"], about["labels"]
    try:
        trainer = Trainer(model, about["scheme"], loss=about["loss"])
        state = trainer.session.state()
        if len(state) != state_length:
            raise ValueError("%s: state of %d B, this firmware's has %d B" % (path, state_length, len(state)))
    except (ValueError, MemoryError):
        model.session, model.scheme, model.new_classes, model.labels = before
        raise
    state[:] = data[size + about_length : size + about_length + state_length]
    trainer.session.refresh()
    return trainer
