"""Are the gradients right? For the layers of this package, and for those of your own.

    from minicnn.gradcheck import check_layer

    print(check_layer(MyLayer(), (None, 8, 8, 3)))

compares what `backward` says with central differences of `forward`, number by number, and if they
disagree, says where, and which common mistake would explain it. `check_loss` and `check_model` do
the same for a loss and for a whole model, and

    python -m minicnn.gradcheck

for every layer and loss of the package. How the differences are taken, and what is done about
kinks: `differences.py`. The mistakes that are known: `mistakes.py`. Replicas that disturb each
other: `workers.py`. The gradients of the float32 engine: `engine.py`.
"""

from minicnn.gradcheck.api import check_layer, check_loss, check_model
from minicnn.gradcheck.result import CheckResult, GradientCheckError, Mistake, TensorCheck, Wrong

__all__ = [
    "CheckResult",
    "GradientCheckError",
    "Mistake",
    "TensorCheck",
    "Wrong",
    "check_layer",
    "check_loss",
    "check_model",
]
