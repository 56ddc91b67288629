"""Inputs that are refused on all ranks, which then go on."""

import minicnn

minicnn.distributed.init()

import numpy as np
from common import digest, say, tutorial, x

model = tutorial()
wrong = x.copy()
wrong[200] = np.nan


def refusal(call):
    try:
        call(wrong)
    except ValueError as error:
        return str(error)
    return ""


said = [refusal(model.predict), refusal(model.predict_on_batch)]
say(said=said, outputs=digest(model.predict(x, verbose=0)))
