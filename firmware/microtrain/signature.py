# The key of a board that takes only signed images. What that promises: usermod_c/README.md.

import errno

KEY = "/microtrain.key"


def board_key():
    """The key that every image must be signed with, 32 bytes; None: the board has none. Raises
    ValueError or OSError where there is one that cannot be used."""
    try:
        with open(KEY, "rb") as f:
            key = f.read(33)
    except OSError as error:
        # No such file; no file system at all.
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return None
        raise
    if len(key) != 32:
        raise ValueError("%s: not a key of 32 B: remove it, and provision the board" % KEY)
    return key
