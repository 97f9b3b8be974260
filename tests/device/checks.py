# What the scripts beside this one share; it lies on the board as /checks.py.

import microtrain as mt


def raises(kind, text, function, *args, **named):
    # The exception must be of this kind, and its message contain the text.
    try:
        function(*args, **named)
    except kind as error:
        assert text in str(error), "%r is not in %r" % (text, str(error))
        return
    raise AssertionError("no %s(%r)" % (kind.__name__, text))


def trained(scheme="full", epochs=2, lr=0.02, seed=3, **named):
    # (model, trainer) after some epochs of the training data.
    model = mt.Model("/tiny.mtm")
    trainer = mt.Trainer(model, scheme, lr, seed=seed)
    trainer.fit(mt.Dataset("/train.mtd"), epochs, on_epoch=lambda report: None, **named)
    return model, trainer


def state(trainer):
    return bytes(trainer.session.state())
