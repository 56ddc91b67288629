"""For the API reference of the site: the package's docstrings as Markdown, see `tools.pages`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.pages import as_markdown


class Lessons(griffe.Extension):
    """Reads each docstring as Markdown, and leaves out what Python calls behind the scenes."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
        if obj.name.startswith("__") and obj.name not in ("__call__", "__init__"):
            obj.public = False
