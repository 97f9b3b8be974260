# Refuses an engine that this package does not know, before anything else of it is imported.

import _microtrain

ABI = 5  # of _microtrain (usermod_c/bind/modmicrotrain.h)

if getattr(_microtrain, "ABI", 0) != ABI:
    raise ImportError(
        "the engine has ABI %d, this package works with %d: install both from one version"
        % (getattr(_microtrain, "ABI", 0), ABI)
    )
