"""`minicnn.diagnose`: what a model's numbers say about its training, in plain words.

`measure.py` takes the numbers, on a copy of the model; `judge.py` holds them against thresholds,
each with its reason; `history.py` reads the curves; `result.py` is what the reader gets.
"""

from minicnn.diagnosis.api import diagnose
from minicnn.diagnosis.result import Diagnosis, Fact, Problem

__all__ = ["Diagnosis", "Fact", "Problem", "diagnose"]
