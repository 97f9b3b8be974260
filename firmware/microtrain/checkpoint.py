# Checkpoints (.mtc): what has been trained of a model, and of a fit that goes on, how far it is.
# Specification: firmware/README.md.

import binascii
import json
import os
import struct

import _microtrain

MAGIC, MAJOR, MINOR = b"MTC1", 1, 1
# magic, version, lengths of description and state, SHA-256 of the image; steps, epochs, seed, rate
HEADER = "<4sHHII32sIIIf"
HEADER_BYTES, DIGEST_BYTES, BLOCK = 64, 32, 256
# How a description begins from version 1.1 on: with the CRC-32 of the header.
CRC = '{"header_crc32": "%08x", '


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


def _description(model, fit):
    # All of it but CRC.
    trainer = model.trainer
    optimizer = trainer.optimizer.stored()
    fields = [
        ("scheme", trainer.scheme), ("loss", trainer.loss_name),
        ("new_classes", model.new_classes), ("labels", model.labels), ("model", model.name),
        ("wide", trainer.wide), ("gradient_bits", trainer.gradient_bits),
    ]  # fmt: skip
    if optimizer:
        fields.append(("optimizer", optimizer))
    if fit:
        fields.append(("fit", fit.position()))
    for i, (key, value) in enumerate(fields):
        yield (', "%s": ' if i else '"%s": ') % key
        yield from _json(value)
    yield "}"


def _pieces(model, fit=None):
    # What a file holds, in order, without its SHA-256.
    trainer = model.trainer
    if not trainer:
        raise ValueError("nothing has been trained yet")
    length = len(CRC % 0) + sum(len(piece.encode()) for piece in _description(model, fit))
    state, best = trainer.session.state(), fit and fit.best and fit.best.kept
    header = struct.pack(
        HEADER, MAGIC, MAJOR, MINOR, length, len(state) + len(best or b""), model.net.sha256,
        trainer.steps, trainer.epoch, trainer.seed & 0xFFFFFFFF, trainer.lr,
    )  # fmt: skip
    yield header
    yield (CRC % binascii.crc32(header)).encode()
    for piece in _description(model, fit):
        yield piece.encode()
    yield state
    if best:
        yield best


def save(model, path, fit=None, generations=1):
    """Write atomically: a reader finds the old file or the new one, never a part.

    fit: one that goes on, whose position is saved too. generations: 2 keeps the old file as
    PATH.old, which a reader falls back to.
    """
    digest = _microtrain.SHA256()
    part = path + ".part"
    with open(part, "wb") as f:
        for piece in _pieces(model, fit):
            digest.update(piece)
            f.write(piece)
        f.write(digest.digest())
        f.flush()
    if generations == 2 and _exists(path):
        os.rename(path, path + ".old")
    os.rename(part, path)  # MicroPython's FAT removes `path` first: for a moment `part` is all


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def size(model, fit=None):
    """Bytes of the file that save() would write."""
    return sum(len(piece) for piece in _pieces(model, fit)) + DIGEST_BYTES


def sha256(model):
    """Hexadecimal SHA-256 of the file that save() would write."""
    digest = _microtrain.SHA256()
    for piece in _pieces(model):
        digest.update(piece)
    digest.update(digest.digest())
    return digest.digest().hex()


class Damaged(ValueError):
    """A file that is not as it was written: torn, or changed since."""


# By the engine's codes (usermod_c/core/microtrain.h).
ERRORS = {
    -1: (Damaged, "{path}: not a checkpoint: it does not start with MTC1"),
    -2: (ValueError, "{path}: format {have}, this firmware reads {need}"),
    -3: (Damaged, "{path}: damaged: {have} B where {need} are needed"),
    -14: (ValueError, "{path}: its learning rate is no number from 0 to 2^31"),
    -16: (Damaged, "{path}: header damaged: CRC-32 does not match"),
}


def _check(f, path, model):
    # The whole file, block by block. Returns lengths of description and state, the image's
    # SHA-256, steps, epochs, seed, rate.
    length = f.seek(0, 2)
    f.seek(0)
    code, *fields = _microtrain.checkpoint(f.read(_microtrain.CHECKPOINT_HEAD), length)
    if code:
        kind, text = ERRORS[code]
        need, have = fields
        raise kind(text.format(path=path, need=need, have=have))
    f.seek(0)
    digest, left = _microtrain.SHA256(), length - DIGEST_BYTES
    while left:
        block = f.read(min(BLOCK, left))
        if not block:
            raise OSError("%s: cannot be read" % path)
        digest.update(block)
        left -= len(block)
    if f.read(DIGEST_BYTES) != digest.digest():
        raise Damaged("%s: damaged: SHA-256 does not match" % path)
    if fields[2] != model.net.sha256:
        raise ValueError("%s: saved from another image than %s" % (path, model.name))
    return fields


def _whole(path, model, notice):
    # (file, fields) of the newest whole generation.
    first = None
    for name in path, path + ".part", path + ".old":
        try:
            f = open(name, "rb")
        except OSError as error:
            first = first or error
            continue
        try:
            fields = _check(f, name, model)
        except (Damaged, OSError) as error:
            f.close()
            first = first or error
        except BaseException:
            f.close()
            raise
        else:
            if name != path:
                why = first if isinstance(first, Damaged) else "%s: %r" % (path, first)
                notice("%s: %s is taken instead" % (why, name))
            return f, fields
    raise first


def restore(model, path, notice=print, cores=1):
    """Check the whole file first: a damaged one, or one of another model, changes nothing.

    Where PATH is damaged or missing, what the last save left beside it is taken, and
    notice(text) says so. Returns a Trainer (`cores`) that goes on where the saved one was. Raises
    ValueError, MemoryError, OSError."""
    f, fields = _whole(path, model, notice)
    before = (model.trainer, model.new_classes, model.labels)
    try:
        return _read(f, fields, path, model, cores)
    except BaseException as error:
        model.trainer, model.new_classes, model.labels = before
        if isinstance(error, (KeyError, TypeError, AttributeError)):
            raise ValueError("%s: its description is not valid: %r" % (path, error)) from None
        raise
    finally:
        f.close()


def _read(f, fields, path, model, cores):
    from microtrain.fit import Fit
    from microtrain.optimizer import Optimizer
    from microtrain.trainer import Trainer

    f.seek(HEADER_BYTES)
    about = json.loads(f.read(fields[0]))
    model.trainer = None
    model.new_classes, model.labels = about["new_classes"], about["labels"]
    trainer = Trainer(
        model, about["scheme"], lr=fields[6], loss=about["loss"], seed=fields[5],
        wide=about.get("wide", False), gradient_bits=about.get("gradient_bits", 8), cores=cores,
        **Optimizer.read(about.get("optimizer", {}))
    )  # fmt: skip
    trainer.steps, trainer.epoch = fields[3], fields[4]
    fit = Fit.read(trainer, about["fit"]) if "fit" in about else None
    parts = [trainer.session.state()]
    if fit and fit.best and fit.best.kept:
        parts.append(fit.best.kept)
    length = sum(len(part) for part in parts)
    if length != fields[1]:
        raise ValueError("%s: state of %d B, this firmware's has %d B" % (path, fields[1], length))
    for part in parts:
        if f.readinto(part) != len(part):
            raise OSError("%s: cannot be read" % path)
    trainer.session.refresh()
    trainer.unfinished = fit
    return trainer
