"""Python that runs on the board: one golden vector, memory, speed. It uses the engine alone."""

# One network: as imported on the first sample, then trained on each. Prints what it computed.
CASE = """\
def _mt_case(image, layers, loss, wide, gradient_bits, seed, lr, steps):
    import _microtrain as mt
    from array import array
    def show(name, value):
        print(name, bytes(value).hex() if isinstance(value, memoryview) else value)
    model = mt.Model(image)
    session = mt.Session(mt.Plan(model))
    session.forward(steps[0][0])
    show("imported", session.output())
    kind = mt.MSE if loss == "mse" else mt.CROSS_ENTROPY
    layers = [(i, bias, array("H", channels)) for i, bias, channels in layers]
    session = mt.Session(mt.Plan(model, layers, kind, 0, wide, gradient_bits), seed)
    session.lr(lr)
    for x, y in steps:
        session.forward(x)
        show("output", session.output())
        show("loss", session.loss(array("f", y) if loss == "mse" else y))
        session.backward()
    show("state", session.state())
"""

# Bytes; None where the board has no such thing.
MEMORY = """\
def _mt_memory():
    import gc, os
    gc.collect()
    free, used = gc.mem_free(), gc.mem_alloc()
    low, high = 0, free
    while high - low > 64:
        size = (low + high) // 2
        try:
            bytearray(size)
            low = size
        except MemoryError:
            high = size
        gc.collect()
    rom = files = None
    try:
        import vfs
        if vfs.rom_ioctl(1) > 0:
            rom = len(memoryview(vfs.rom_ioctl(2, 0)))
    except (ImportError, AttributeError):
        pass
    try:
        found = os.statvfs("/")
        files = found[1] * found[3]
    except (AttributeError, OSError):
        pass
    return {"heap_bytes": free + used, "heap_free_bytes": free, "largest_block_bytes": low,
            "romfs_bytes": rom, "files_free_bytes": files}
"""

# Seconds of one forward pass and of one training step, None without a clock; with their MACs.
SPEED = """\
def _mt_speed(image, budget_us):
    import gc, _microtrain as mt
    try:
        import time
    except ImportError:
        return None
    model = mt.Model(image)
    layers = []
    for i in range(len(model)):
        _, kind, _, channels, _, _ = model.op(i)
        if kind in ("conv2d", "depthwise_conv2d", "linear"):
            layers.append((i, True, channels))
    plan = mt.Plan(model, layers, mt.CROSS_ENTROPY)
    session = mt.Session(plan)
    session.lr(0.001)
    h, w, c, _, _ = model.input
    x = bytes(range(256)) * (h * w * c // 256 + 1)
    x = x[:h * w * c]
    def seconds(run):
        n = 1
        while True:
            start = time.ticks_us()
            for _ in range(n):
                run()
            taken = time.ticks_diff(time.ticks_us(), start)
            if taken >= budget_us:
                return taken / n / 1000000
            n *= 2
    gc.collect()
    info = plan.info()
    return (seconds(lambda: session.forward(x)), seconds(lambda: session.step(x, 0)),
            info["forward_macs"], info["backward_macs"])
"""
