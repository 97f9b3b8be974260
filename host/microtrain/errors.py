"""The one exception tree of the host package.

Every error that microtrain raises on purpose is a `MicrotrainError`. Its text is one line a person
can act on: what went wrong, where, the numbers, and what to do.
"""

from __future__ import annotations


class MicrotrainError(Exception):
    """Base of everything microtrain raises on purpose."""


class ModelError(MicrotrainError):
    """A model image or graph is malformed, or does not fit what was asked of it."""


class ConversionError(MicrotrainError):
    """A model of another format (.tflite, .onnx, ...) cannot be converted."""


class SignatureError(MicrotrainError):
    """An image is not signed, or not with this key; or a key cannot be used."""


class DataError(MicrotrainError):
    """A data set has the wrong shape, type, range or labels."""


class CheckpointError(MicrotrainError):
    """A checkpoint is damaged, or of a version this program does not read."""


class SchemeError(MicrotrainError):
    """An update scheme names layers or channels that the model does not have."""


class PlanError(MicrotrainError):
    """No training plan exists for this model, scheme and amount of memory."""


class DeviceError(MicrotrainError):
    """A board cannot be found, opened, built or talked to."""


class DeviceTimeout(DeviceError):
    """A board did not answer in time."""


class BoardReset(DeviceError):
    """The board no longer knows of what this program had begun: it was reset."""


class RemoteError(DeviceError):
    """Code on the board raised.

    The message is the last line of the board's traceback; `traceback` holds all of it.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback
