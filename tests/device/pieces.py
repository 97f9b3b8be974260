# An arena in several pieces, where the heap has no single one: the same bytes.

import gc

import _microtrain
from checks import raises, state

import microtrain as mt

data = mt.Dataset("/train.mtd")
x = bytearray(data.size)


def trained(**options):
    model = mt.Model("/tiny.mtm")
    trainer = mt.Trainer(model, "full", 0.02, **options)
    trainer.fit(data, 1, on_epoch=lambda report: None)
    return trainer


whole = trained()
info = whole.plan.info
expected = state(whole)
arena, rest = info["arena_bytes"], info["total_ram_bytes"] - info["arena_bytes"]
outputs = list(whole.forward(x))
del whole

# Given by the caller: the first for the trained state, the others for the arena.
memory = (bytearray(rest), bytearray(arena * 3 // 4), bytearray(arena * 3 // 4))
trainer = trained(memory=memory)
assert state(trainer) == expected
assert list(trainer.forward(x)) == outputs
assert info["total_ram_bytes"] <= trainer.total_ram_bytes <= sum(len(m) for m in memory)
model = mt.Model("/tiny.mtm")
text = "arena too small"
raises(MemoryError, text, mt.Trainer, model, "full", memory=(memory[0], memory[1][:99]))
raises(ValueError, "2 to 5 buffers", mt.Trainer, model, "full", memory=memory[:1])
del trainer, memory

# From a heap in which one block in two is taken.
hole = max(rest, arena * 3 // 4)
assert hole < info["total_ram_bytes"]
gc.collect()
taken = []
try:
    while True:
        taken.append(bytearray(hole))
except MemoryError:
    pass
for i in range(0, len(taken) - 1, 2):
    taken[i] = None
gc.collect()
trainer = trained()
assert state(trainer) == expected
gc.collect()
assert list(trainer.forward(x)) == outputs

# And from one that has too little in all.
trainer, plan = None, model.plan("full")
try:
    while True:
        rest = (bytearray(hole // 8), rest)  # a list would need to grow in one piece
except MemoryError:
    pass
rest = rest[1][1]
gc.collect()
raises(MemoryError, "largest pieces have", _microtrain.Session, plan.engine)
taken = rest = None
print("done")
