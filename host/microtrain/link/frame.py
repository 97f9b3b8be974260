"""Frames on the serial line: COBS, a header, CRC-32. Specification: host/README.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

PAYLOAD_MAX = 16384
NONE = 0xFFFF  # sequence and transmission number of a frame that has none
_HEADER = struct.Struct("<BBHHH")
_CRC = struct.Struct("<I")
_AROUND = _HEADER.size + _CRC.size
_ENCODED_MAX = PAYLOAD_MAX + _AROUND + (PAYLOAD_MAX + _AROUND) // 254 + 1


class Kind(IntEnum):
    """What a frame is. None of these bytes occurs in UTF-8."""

    DATA = 0xF8
    ACK = 0xF9
    HELLO = 0xFA
    WELCOME = 0xFB
    BYE = 0xFC


_KINDS = bytes([Kind.DATA])  # the least of them


class Channel(IntEnum):
    """What a DATA frame is about."""

    REQUEST = 0
    ANSWER = 1
    BYTES = 2
    EVENT = 3
    SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, without COBS and CRC-32."""

    kind: int
    payload: bytes = b""
    channel: int = 0xFF
    sequence: int = NONE
    transmission: int = NONE

    def encode(self) -> bytes:
        """The bytes on the line, with both delimiters."""
        head = _HEADER.pack(
            self.kind, self.channel, self.sequence, self.transmission, len(self.payload)
        )
        crc = zlib.crc32(self.payload, zlib.crc32(head))
        return b"".join((
            b"\0", cobs.encode(b"".join((head, self.payload, _CRC.pack(crc)))), b"\0",
        ))  # fmt: skip


def decode(piece: bytes | bytearray) -> Frame | None:
    """The frame between two delimiters, None where there is no whole one."""
    if not _AROUND < len(piece) <= _ENCODED_MAX:
        return None
    try:
        data = cobs.decode(piece)
    except cobs.DecodeError:
        return None
    size = len(data) - _CRC.size
    if size < _HEADER.size:
        return None
    if zlib.crc32(memoryview(data)[:size]) != _CRC.unpack_from(data, size)[0]:
        return None
    kind, channel, sequence, transmission, length = _HEADER.unpack_from(data)
    if length != size - _HEADER.size:
        return None
    return Frame(kind, data[_HEADER.size : size], channel, sequence, transmission)


class Splitter:
    """Takes frames and text apart.

    on_text: called with what stands between frames and is text, as soon as a line is complete.
    `damaged` counts pieces that are neither.
    """

    def __init__(self, on_text: Callable[[str], object]) -> None:
        self._on_text = on_text
        self._rest = bytearray()
        self.damaged = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that end in `data`."""
        begin = 0
        while (end := data.find(b"\0", begin)) >= 0:
            piece = self._rest + data[begin:end] if self._rest else data[begin:end]
            self._rest, begin = bytearray(), end + 1
            if not piece:
                continue
            if frame := decode(piece):
                yield frame
            elif (text := _text(piece)) is not None:
                self._on_text(text)
            else:
                self.damaged += 1
        self._rest += data[begin:] if begin else data
        if self._rest[1:2] < _KINDS:  # else it is a frame that has begun
            end = self._rest.rfind(b"\n") + 1
            if end and (text := _text(self._rest[:end])) is not None:
                del self._rest[:end]
                self._on_text(text)
        if len(self._rest) > 4 * _ENCODED_MAX:
            self._rest.clear()
            self.damaged += 1

    def tail(self) -> bytes:
        """What has come since the last frame or line."""
        return bytes(self._rest)


def _text(piece: bytes | bytearray) -> str | None:
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return None
    if any(c < " " and c not in "\t\r\n\b\x1b\x04" for c in text):
        return None
    return text.replace("\r\n", "\n")
