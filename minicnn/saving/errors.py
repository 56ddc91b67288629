"""The one error for a file that cannot be read as what it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class SavedFileError(ValueError):
    """A file is damaged, is no saved model, or holds what is not allowed in one.

    Whatever raised it, nothing has been changed: no model is half loaded.
    """


@contextlib.contextmanager
def named(path: object) -> Iterator[None]:
    """Inside, every error that a file's content can cause becomes one that names the file."""
    try:
        yield
    except SavedFileError as error:
        raise SavedFileError(f"{path}: {error}") from error.__cause__
    except MemoryError as error:
        raise SavedFileError(f"{path}: it asks for more memory than there is") from error
    except Exception as error:
        # a constructor that refuses a setting, a user's from_config, an index out of the file
        raise SavedFileError(f"{path}: {error}") from error
