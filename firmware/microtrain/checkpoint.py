# Checkpoints (.mtc): what has been trained of a model, and nothing else. Specification:
# firmware/README.md.

import hashlib
import json
import os
import struct

MAGIC, MAJOR, MINOR = b"MTC1", 1, 0
# magic, version, lengths of description and state, SHA-256 of the image; steps, epochs, seed, rate
HEADER = "<4sHHII32sIIIf"
HEADER_BYTES, DIGEST_BYTES, BLOCK = 64, 32, 256


def _json(value):
    # Small pieces, as beside a large arena the heap has no large ones; with sorted keys, as the
    # order in a dict differs from port to port.
    if not isinstance(value, dict):
        yield json.dumps(value)
        return
    yield "{"
    for i, key in enumerate(sorted(value)):
        yield (", %s: " if i else "%s: ") % json.dumps(key)
        yield from _json(value[key])
    yield "}"


def _description(model):
    trainer = model.trainer
    optimizer = trainer.optimizer.stored()
    for i, (key, value) in enumerate((
        ("scheme", trainer.scheme), ("loss", trainer.loss_name),
        ("new_classes", model.new_classes), ("labels", model.labels), ("model", model.name),
        ("wide", trainer.wide), ("gradient_bits", trainer.gradient_bits),
    ) + ((("optimizer", optimizer),) if optimizer else ())):  # fmt: skip
        yield (', "%s": ' if i else '{"%s": ') % key
        yield from _json(value)
    yield "}"


def _pieces(model):
    # What a file holds, in order, without its SHA-256.
    trainer = model.trainer
    if not trainer:
        raise ValueError("nothing has been trained yet")
    length = sum(len(piece.encode()) for piece in _description(model))
    state = trainer.session.state()
    yield struct.pack(
        HEADER, MAGIC, MAJOR, MINOR, length, len(state), model.net.sha256, trainer.steps,
        trainer.epoch, trainer.seed & 0xFFFFFFFF, trainer.lr,
    )  # fmt: skip
    for piece in _description(model):
        yield piece.encode()
    yield state


def save(model, path):
    """Write atomically: a reader finds the old file or the new one, never a part."""
    digest = hashlib.sha256()
    part = path + ".part"
    with open(part, "wb") as f:
        for piece in _pieces(model):
            digest.update(piece)
            f.write(piece)
        f.write(digest.digest())
        f.flush()
    try:
        os.rename(part, path)
    except OSError:  # FAT does not rename over a file: between these two lines the part is whole
        os.remove(path)
        os.rename(part, path)


def sha256(model):
    """Hexadecimal SHA-256 of the file that save() would write."""
    digest, inner = hashlib.sha256(), hashlib.sha256()
    for piece in _pieces(model):
        digest.update(piece)
        inner.update(piece)
    digest.update(inner.digest())
    return digest.digest().hex()


def _open(path):
    try:
        return open(path, "rb")
    except OSError as error:
        try:
            return open(path + ".part", "rb")  # the power was cut in save(), on FAT
        except OSError:
            raise error from None


def _check(f, path, model):
    # The whole file, block by block. Returns its header's fields.
    header = f.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or header[:4] != MAGIC:
        raise ValueError("%s: not a checkpoint: it does not start with MTC1" % path)
    fields = struct.unpack(HEADER, header)
    if fields[1] != MAJOR:
        raise ValueError("%s: format %d, this firmware reads %d" % (path, fields[1], MAJOR))
    length, needed = f.seek(0, 2), HEADER_BYTES + fields[3] + fields[4] + DIGEST_BYTES
    if length != needed:
        raise ValueError("%s: damaged: %d B where %d are needed" % (path, length, needed))
    f.seek(0)
    digest, left = hashlib.sha256(), length - DIGEST_BYTES
    while left:
        block = f.read(min(BLOCK, left))
        digest.update(block)
        left -= len(block)
    if f.read(DIGEST_BYTES) != digest.digest():
        raise ValueError("%s: damaged: SHA-256 does not match" % path)
    if fields[5] != model.net.sha256:
        raise ValueError("%s: saved from another image than %s" % (path, model.name))
    return fields


def restore(model, path):
    """Check the whole file first: a damaged one, or one of another model, changes nothing.
    Returns a Trainer that goes on where the saved one was. Raises ValueError, MemoryError,
    OSError."""
    from microtrain.optimizer import Optimizer
    from microtrain.trainer import Trainer

    with _open(path) as f:
        fields = _check(f, path, model)
        f.seek(HEADER_BYTES)
        about = json.loads(f.read(fields[3]))
        before = (model.trainer, model.new_classes, model.labels)
        model.trainer = None
        model.new_classes, model.labels = about["new_classes"], about["labels"]
        try:
            trainer = Trainer(
                model, about["scheme"], lr=fields[9], loss=about["loss"], seed=fields[8],
                wide=about.get("wide", False), gradient_bits=about.get("gradient_bits", 8),
                **Optimizer.read(about.get("optimizer", {}))
            )  # fmt: skip
            state = trainer.session.state()
            if len(state) != fields[4]:
                raise ValueError(
                    "%s: state of %d B, this firmware's has %d B" % (path, fields[4], len(state))
                )
            if f.readinto(state) != len(state):
                raise OSError("%s: cannot be read" % path)
        except BaseException:
            model.trainer, model.new_classes, model.labels = before
            raise
    trainer.session.refresh()
    trainer.steps, trainer.epoch = fields[6], fields[7]
    return trainer
