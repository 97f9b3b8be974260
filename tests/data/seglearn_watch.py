"""Smart-watch recordings of seven physiotherapy exercises by ten people.

Source: PyPI `seglearn` 1.2.5, data/watch_dataset.npy (BSD-3-Clause, (c) 2018 David M. Burns).
Study: Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial
signals from a smartwatch", arXiv:1802.01489. 140 recordings: each person did 20 repetitions of
each exercise with each arm; 3-axis accelerometer (g) and gyroscope (rad/s) at 50 Hz.

Run as a script it writes build/data/seglearn_watch.npz.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from registry import CACHE, check_sha256, pypi, write_atomic

REQUIREMENT = "seglearn==1.2.5"
WHEEL = "seglearn-1.2.5-py3-none-any.whl"
WHEEL_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
MEMBER = "seglearn/data/watch_dataset.npy"
MEMBER_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"

CLASSES = ("pendulum", "abduction", "forward elevation", "internal rotation",
           "external rotation", "trapezius extension", "upright row")
SUBJECTS = tuple(range(1, 11))
RATE_HZ = 50
WINDOW = 100  # samples: 2 s, about one repetition
STEP = 50  # samples between the starts of two windows
# Samples become fractions of the sensor's range, +-4 g and +-500 degrees a second: usual
# settings of such sensors. What is beyond (0.1 % of the samples) saturates, as it would there.
FULL_SCALE = np.array([4.0, 4.0, 4.0, *[np.deg2rad(500.0)] * 3])


@dataclass(frozen=True)
class Recording:
    """One person, one exercise, one arm; x is [samples, 6] float32 in [-1, 1]."""

    subject: int
    label: int
    side: int
    x: NDArray[np.float32]


def fetch() -> Path:
    """Return the path of an .npz with all recordings, end to end: x [samples, 6] float32, and
    per recording start, length, subject, label, side. Raises DataError."""
    path = CACHE / "seglearn_watch.npz"
    return path if path.is_file() else write_atomic(path, _convert)


def _convert(target: Path) -> None:
    with zipfile.ZipFile(pypi(REQUIREMENT, WHEEL, WHEEL_SHA256)) as wheel:
        raw = check_sha256(MEMBER, wheel.read(MEMBER), MEMBER_SHA256)
    # A pickled dictionary: loading it may run code, so only the very bytes that were reviewed.
    data = np.load(io.BytesIO(raw), allow_pickle=True).item()
    lengths = np.array([len(x) for x in data["X"]])
    x = np.clip(np.concatenate(data["X"]) / FULL_SCALE, -1.0, 1.0).astype(np.float32)
    np.savez_compressed(target, x=x, start=np.cumsum(lengths) - lengths, length=lengths,
                        subject=data["subject"], label=data["y"],
                        side=data["side"].astype(np.int64))


def recordings(subjects: tuple[int, ...] = SUBJECTS) -> list[Recording]:
    """The recordings of these people (1..10), ordered by person, exercise and arm."""
    with np.load(fetch()) as data:
        x = data["x"]
        rows = sorted(zip(data["subject"].tolist(), data["label"].tolist(), data["side"].tolist(),
                          data["start"].tolist(), data["length"].tolist(), strict=True))
    return [Recording(subject, label, side, x[start:start + length])
            for subject, label, side, start, length in rows if subject in subjects]


def windows(x: NDArray[np.float32], step: int = STEP) -> NDArray[np.float32]:
    """Cut [samples, 6] into [windows, 1, WINDOW, 6], `step` samples apart (NHWC, height 1)."""
    count = max(0, (len(x) - WINDOW) // step + 1)
    index = np.arange(count)[:, None] * step + np.arange(WINDOW)
    return np.ascontiguousarray(x[index][:, None])


def dataset(parts: list[Recording]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All windows of these recordings: x [n, 1, WINDOW, 6] float32, y [n] int64."""
    pieces = [windows(part.x) for part in parts]
    labels = [part.label for part in parts]
    return np.concatenate(pieces), np.repeat(labels, [len(piece) for piece in pieces])


def split_in_time(parts: list[Recording], head_windows: int) -> tuple[
        list[Recording], list[Recording]]:
    """Cut each recording in two: just enough samples for its first `head_windows` windows, and
    the rest. The two share no sample, so neither do windows cut from them."""
    cut = WINDOW + (head_windows - 1) * STEP
    return ([Recording(p.subject, p.label, p.side, p.x[:cut]) for p in parts],
            [Recording(p.subject, p.label, p.side, p.x[cut:]) for p in parts])


def main() -> None:
    parts = recordings()
    x, _ = dataset(parts)
    minutes = sum(len(part.x) for part in parts) / RATE_HZ / 60
    print(f"{fetch()}: {len(parts)} recordings of {len(SUBJECTS)} people, {minutes:.0f} minutes, "
          f"{len(x)} windows of {WINDOW} x 6 at {RATE_HZ} Hz, {len(CLASSES)} exercises")


if __name__ == "__main__":
    main()
