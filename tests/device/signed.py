# A board with a key takes only images signed with it.

import hashlib
import os

from checks import raises

import microtrain as mt
from microtrain import signature

KEY = bytes(range(32))


def hmac(key, data):
    # RFC 2104
    pads = [bytes((k ^ pad) for k in key + bytes(64 - len(key))) for pad in (0x36, 0x5C)]
    return hashlib.sha256(pads[1] + hashlib.sha256(pads[0] + data).digest()).digest()


def signed(data, key):
    head = b"MTSG\1\0\1\0" + hashlib.sha256(key).digest()[:8]
    return data + head + hmac(key, data[:48] + head)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


with open("/tiny.mtm", "rb") as f:
    image = f.read()
write("/signed.mtm", signed(image, KEY))
write("/other.key.mtm", signed(image, bytes(reversed(KEY))))

# Without a key a board does not look at signatures.
assert signature.board_key() is None
for path in "/tiny.mtm", "/signed.mtm", "/other.key.mtm":
    assert mt.Model(path).name == "tiny"

write(signature.KEY, KEY)
try:
    assert mt.Model("/signed.mtm").name == mt.Model(bytearray(signed(image, KEY))).name == "tiny"
    for unsigned in "/tiny.mtm", bytearray(image), bytearray(signed(image, KEY)[:-1]):
        raises(ValueError, "image not signed: this board takes only", mt.Model, unsigned)
    altered = bytearray(signed(image, KEY))
    altered[76] ^= 1  # a reserved byte
    altered[16:48] = hashlib.sha256(altered[48 : len(image)]).digest()
    for wrong in "/other.key.mtm", altered:
        raises(ValueError, "signature is not of this board's key, or not of this", mt.Model, wrong)
    # Trained as any other.
    trainer = mt.Trainer(mt.Model("/signed.mtm"), "last", 0.1)
    trainer.fit(mt.Dataset("/train.mtd"), 1, on_epoch=lambda report: None)
    trainer.model.save("/s.mtc")
    assert mt.Model("/signed.mtm").restore("/s.mtc").steps == 64
    # A key that cannot be used is no reason to take anything.
    for wrong in b"", KEY[1:], KEY + b"\n":
        write(signature.KEY, wrong)
        raises(ValueError, "not a key of 32 B", mt.Model, "/signed.mtm")
finally:
    for path in signature.KEY, "/signed.mtm", "/other.key.mtm", "/s.mtc":
        os.remove(path)
assert mt.Model("/tiny.mtm").name == "tiny"
print("done")
