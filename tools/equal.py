"""Why some mutants that no test notices are the same program. Read by `tools.mutants`."""

from __future__ import annotations

Key = tuple[str, str, str, str]  # file, class and function, line before, line after

FAST, REFERENCE = "minicnn/kernels/fast.py", "minicnn/kernels/reference.py"
LOSSES = "minicnn/losses/base.py"

REASONS: dict[str, list[Key]] = {
    "The loop goes over all of this axis and does the same at each place, so that one place "
    "earlier (and the last for the first) visits the same places": [
        (FAST, "im2col", f"cols[{one}] = 0", f"cols[{other}] = 0")
        for one, other in (
            ("n, i, j, a, b, c", "n - 1, i, j, a, b, c"),
            ("n, i, j, a, b, c", "n, i, j, a, b, c - 1"),
        )
    ]
    + [
        (FAST, where, f"{array}[n, i, j, c] {rest}", f"{array}[n, i, j, c - 1] {rest}")
        for where, array, rest in (
            ("max_pool", "argmax", "= a_0 * K_w + b_0"),
            ("average_pool", "y", "= 0"),
            ("average_pool", "y", "/= (a_1 - a_0) * (b_1 - b_0)"),
        )
    ],
    "A value that is never read: every window holds a real cell, which replaces it": [
        (REFERENCE, "max_pool", "best, place = None, -1", f"best, place = None, {other}")
        for other in ("1", "-0")
    ],
    "A value that is never read: build, which every first pass calls, sets it anew": [
        (
            "minicnn/layers/dropout.py",
            "Dropout.__init__",
            "self._key = 0 # 64 bits from the seed, set by build",
            f"{other} # 64 bits from the seed, set by build",
        )
        for other in ("pass", "self._key = 1")
    ],
    "A value that is never read: on_start, which comes before every on_end, sets it anew": [
        ("minicnn/kernels/compiler.py", "CompileNotice.__init__", "self.start = 0.0", "pass"),
    ],
    "A copy more of what nothing else holds": [
        (
            "minicnn/layers/activations/base.py",
            "Elementwise.backward",
            "dx: Array = dy * slope.astype(dy.dtype, copy=False)",
            "dx: Array = dy * slope.astype(dy.dtype)",
        )
    ],
    "A tolerance for rounding errors: no place lies on it exactly": [
        (
            FAST,
            "taken",
            "if abs(place - round(place)) < SEAM:",
            "if abs(place - round(place)) <= SEAM:",
        )
    ],
    "A short cut: the other neighbour counts 0 times there": [
        (FAST, "affine", f"if {share} > 0:", "if True:") for share in ("t", "s")
    ],
    "Half of 1 cell of padding is none before the image, as half of 0 is": [
        (
            "minicnn/layers/windows.py",
            "along",
            "total = max(0, (out - 1) * s + k - n)",
            "total = max(1, (out - 1) * s + k - n)",
        )
    ],
    "A short cut: without it the same values come out, by a longer way": [
        (
            LOSSES,
            "per_sample",
            "return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)",
            f"return values if {other} else values.reshape(len(values), -1).mean(axis=1)",
        )
        for other in ("False", "values.ndim == 0")
    ]
    + [
        (
            LOSSES,
            "per_row",
            "return gradient / rows if rows > 1 else gradient",
            f"return gradient / rows if {other} else gradient",
        )
        for other in ("True", "rows >= 1", "rows > 0")
    ]
    + [
        (
            "minicnn/layers/base.py",
            f"Layer.{where}",
            f'if type({array}) is not np.ndarray or {array}.dtype.kind not in "f":',
            "if True:",
        )
        for where, array in (("_input", "x"), ("_recall", "dy"))
    ],
}
EQUAL: dict[Key, str] = {key: reason for reason, keys in REASONS.items() for key in keys}
