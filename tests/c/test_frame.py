"""The board's frames (C) against the host's (cobs, zlib): what one writes the other reads, and no
bytes whatever are taken for a frame that nobody sent."""

from __future__ import annotations

import ctypes

import pytest
from engine import load
from hypothesis import given
from hypothesis import strategies as st

from microtrain.link.frame import PAYLOAD_MAX, Frame, Kind, Splitter, decode

lib = load()
AROUND = 12
CANARY = 0xA5


class CFrame(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint8), ("channel", ctypes.c_uint8), ("sequence", ctypes.c_uint16),
        ("transmission", ctypes.c_uint16), ("length", ctypes.c_uint16),
        ("payload", ctypes.c_void_p),
    )  # fmt: skip


class CDecoder(ctypes.Structure):
    _fields_ = (
        ("buf", ctypes.c_void_p), ("capacity", ctypes.c_uint32), ("fill", ctypes.c_uint32),
        ("run", ctypes.c_uint8), ("zero", ctypes.c_bool), ("broken", ctypes.c_bool),
        ("damaged", ctypes.c_uint32),
    )  # fmt: skip


lib.mt_frame_encode.restype = ctypes.c_size_t
lib.mt_frame_decode.restype = ctypes.c_size_t
lib.mt_crc32.restype = ctypes.c_uint32


def encode(frame: Frame) -> bytes:
    size = len(frame.payload) + AROUND + (len(frame.payload) + AROUND) // 254 + 3
    out = (ctypes.c_uint8 * (size + 8))(*[CANARY] * (size + 8))
    payload = ctypes.create_string_buffer(frame.payload, max(1, len(frame.payload)))
    given = CFrame(
        frame.kind, frame.channel, frame.sequence, frame.transmission, len(frame.payload),
        ctypes.addressof(payload),
    )  # fmt: skip
    n = lib.mt_frame_encode(out, ctypes.byref(given))
    assert n <= size and list(out[size:]) == [CANARY] * 8
    return bytes(out[:n])


class Decoder:
    """Feeds bytes piece by piece; returns the frames and checks that the buffer's end is kept."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.buf = (ctypes.c_uint8 * (capacity + 8))(*[CANARY] * (capacity + 8))
        self.c = CDecoder()
        lib.mt_frame_decoder_init(ctypes.byref(self.c), self.buf, ctypes.c_size_t(capacity))

    def feed(self, data: bytes) -> list[Frame]:
        found, frame, complete = [], CFrame(), ctypes.c_bool()
        while data:
            n = lib.mt_frame_decode(
                ctypes.byref(self.c), data, ctypes.c_size_t(len(data)), ctypes.byref(frame),
                ctypes.byref(complete),
            )  # fmt: skip
            assert 0 < n <= len(data)
            data = data[n:]
            if complete:
                payload = ctypes.string_at(frame.payload, frame.length)
                found.append(Frame(frame.kind, payload, frame.channel, frame.sequence,
                                   frame.transmission))  # fmt: skip
        assert list(self.buf[self.capacity :]) == [CANARY] * 8
        return found


PAYLOADS = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda byte, n: bytes([byte]) * n, st.integers(0, 255), st.integers(0, 600)),
)
FRAMES = st.builds(
    Frame, st.integers(0, 255), PAYLOADS, st.integers(0, 255), st.integers(0, 65535),
    st.integers(0, 65535),
)  # fmt: skip


@given(FRAMES)
def test_both_write_the_same(frame: Frame) -> None:
    data = encode(frame)
    assert data == frame.encode()
    assert 0 not in data[1:-1] and decode(data[1:-1]) == frame


@pytest.mark.parametrize("length", [0, 1, 241, 242, 243, 496, 497, PAYLOAD_MAX])
@pytest.mark.parametrize("byte", [0, 1, 255])
def test_lengths_where_runs_end(length: int, byte: int) -> None:
    frame = Frame(Kind.DATA, bytes([byte]) * length, 1, 2, 3)
    assert encode(frame) == frame.encode()
    assert Decoder(PAYLOAD_MAX + AROUND).feed(frame.encode()) == [frame]
    if length:
        small = Decoder(length + AROUND - 1)
        assert small.feed(frame.encode()) == [] and small.c.damaged == 1


@pytest.mark.parametrize("byte", range(1, 17))
def test_ends_of_frames_where_a_run_is_full(byte: int) -> None:
    # A run of 254 bytes that is the frame's last one is not followed by an empty one.
    for n in range(244, 254):
        frame = Frame(byte, bytes([byte]) * n, byte, 257 * byte, 257 * byte)
        assert encode(frame) == frame.encode()


# What begins like text is text to whoever splits a line: the kinds do not.
REAL_FRAMES = st.builds(
    Frame, st.sampled_from(Kind), PAYLOADS, st.integers(0, 255), st.integers(0, 65535),
    st.integers(0, 65535),
)  # fmt: skip


@given(st.lists(REAL_FRAMES, max_size=4), st.lists(st.binary(max_size=40), max_size=4), st.data())
def test_frames_among_anything(
    frames: list[Frame], noise: list[bytes], data: st.DataObject
) -> None:
    line = b""
    for i, frame in enumerate(frames):
        line += (noise[i] if i < len(noise) else b"") + frame.encode()
    decoder, splitter = Decoder(1024), Splitter(lambda text: None)
    ours, theirs = [], []
    while line:
        n = data.draw(st.integers(1, len(line)))
        ours += decoder.feed(line[:n])
        theirs += list(splitter.feed(line[:n]))
        line = line[n:]
    for found in (ours, theirs):
        wanted = iter(found)
        assert all(frame in wanted for frame in frames)  # in order; noise may be a frame by chance


@given(FRAMES, st.data())
def test_one_wrong_byte_is_no_frame(frame: Frame, data: st.DataObject) -> None:
    line = bytearray(frame.encode())
    at = data.draw(st.integers(1, len(line) - 2))
    line[at] ^= data.draw(st.integers(1, 255))
    assert Decoder(1024).feed(bytes(line)) == []
    assert list(Splitter(lambda text: None).feed(bytes(line))) == []


@given(st.binary(max_size=300))
def test_random_bytes_are_read_alike(line: bytes) -> None:
    line = b"\0" + line + b"\0"
    assert Decoder(1024).feed(line) == list(Splitter(lambda text: None).feed(line))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crc32_goes_on(first: bytes, second: bytes) -> None:
    import zlib

    crc = lib.mt_crc32(0, first, ctypes.c_size_t(len(first)))
    crc = lib.mt_crc32(ctypes.c_uint32(crc), second, ctypes.c_size_t(len(second)))
    assert crc == zlib.crc32(first + second)
