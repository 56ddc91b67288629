"""Are the gradients right? For the layers of this package, and for those of your own.

    from minicnn.gradcheck import check_layer

    print(check_layer(MyLayer(), (None, 8, 8, 3)))

compares what `backward` says with central differences of `forward`, number by number, and if they
disagree, says where, and which common mistake would explain it. `check_loss` and `check_model` do
the same for a loss and for a whole model, and

    python -m minicnn.gradcheck

for every layer and loss of the package. Where to read on:

    api.py                    the three checks, and what they accept
    subjects.py, copies.py    what is checked: a float64 copy of a layer, loss or model
    differences.py            central differences, and what is done about kinks and rounding
    check.py                  tolerance, verdict, and which numbers are wrong
    mistakes.py               the mistakes that are known
    workers.py, engine.py     replicas that disturb each other; the float32 engine's gradients
    package.py                the library's own cases, which the command runs
"""

from minicnn.gradcheck.api import check_layer, check_loss, check_model
from minicnn.gradcheck.result import CheckResult, GradientCheckError, Mistake, TensorCheck, Wrong

__all__ = ["CheckResult", "GradientCheckError", "Mistake", "TensorCheck", "Wrong"]
__all__ += ["check_layer", "check_loss", "check_model"]
