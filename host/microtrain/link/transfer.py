"""Files between host and board over a session. Specification: host/README.md."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from microtrain.errors import DeviceError
from microtrain.link.session import Progress, Session, hash_timeout


def put(session: Session, remote: str, data: bytes, progress: Progress | None = None) -> str:
    """Have `data` as the file `remote`; return its SHA-256 in hexadecimal.

    Goes on where an earlier, unfinished put of the same data ended. The old file stays as it is
    until the new one has been read back on the board. Raises DeviceError.
    """
    digest = hashlib.sha256(data).hexdigest()
    offset = session.request(
        "put", path=remote, size=len(data), sha256=digest, timeout=hash_timeout(len(data))
    )["offset"]
    _send(session, memoryview(data)[offset:], progress, offset)
    return digest


def put_rom(
    session: Session, offset: int, data: bytes, block: int, progress: Progress | None = None
) -> None:
    """Write `data`, whole blocks of `block` bytes, to the ROMFS's flash. Raises DeviceError."""
    session.request("rom", offset=offset, size=len(data), block=block)
    _send(session, memoryview(data), progress, 0)


def _send(session: Session, data: memoryview, progress: Progress | None, start: int) -> None:
    """Send the bytes that a request asked for, of which `start` were there already, and wait for
    its answer."""
    total = start + len(data)
    try:
        session.send_bytes(data, progress, start)
        session.answer(hash_timeout(total))
        if progress is not None:
            progress(total, total)
    except KeyboardInterrupt:
        session.post("abort")
        raise


def get(
    session: Session,
    remote: str,
    progress: Progress | None = None,
    *,
    begin: bytes = b"",
    keep: Callable[[int, bytes], object] | None = None,
) -> bytes:
    """Return the content of the file `remote`, verified by SHA-256.

    begin: what is here already; the board sends all if the file begins otherwise. keep: gets each
    piece that comes, with its offset. Raises DeviceError.
    """
    answer = session.request(
        "get", path=remote, offset=len(begin), sha256=hashlib.sha256(begin).hexdigest(),
        timeout=hash_timeout(len(begin)),
    )  # fmt: skip
    size = answer["size"]
    data = bytearray(begin[: answer["offset"]])
    try:
        while len(data) < size:
            piece = session.receive_bytes()
            if keep is not None:
                keep(len(data), piece)
            data += piece
            if progress is not None:
                progress(len(data), size)
        found = session.answer(hash_timeout(0))["sha256"]
    except KeyboardInterrupt:
        session.post("abort")
        raise
    if hashlib.sha256(data).hexdigest() != found:
        raise DeviceError(
            f"{session.name}: {remote} arrived damaged ({len(data)} of {size} bytes)"
        )
    return bytes(data)
