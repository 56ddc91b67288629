"""Why some mutants that no test notices are the same program. Read by `tools.mutants`."""

from __future__ import annotations

Key = tuple[str, str, str, str]  # file, class and function, line before, line after

REASONS: dict[str, list[Key]] = {}
EQUAL: dict[Key, str] = {key: reason for reason, keys in REASONS.items() for key in keys}
