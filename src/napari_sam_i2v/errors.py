"""The errors this package raises for what a user gave it.

Each message says what is required, what it got and what to do next. All of them are
`ValueError`, `OSError` or `RuntimeError` too, so that a script needs no import of ours to catch
them.
"""

from __future__ import annotations


class SamI2VError(Exception):
    """Base of every error raised on purpose by napari-sam-i2v."""


class InputError(SamI2VError, ValueError):
    """Something the caller gave cannot be used."""


class MovieError(InputError):
    """A movie, or one of its frames, cannot be read."""


class PromptError(InputError):
    """A prompt does not fit the movie."""


class CheckpointError(InputError):
    """Weights cannot be found, verified or fitted to a network."""


class OutputError(SamI2VError, OSError):
    """A result cannot be written where it was asked for."""


class DeviceError(SamI2VError, RuntimeError):
    """The device has not enough memory for even one object at a time."""


class DownloadError(SamI2VError, OSError):
    """A model cannot be downloaded; nothing of it is left."""
