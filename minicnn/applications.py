"""Stands in the place of Keras's pretrained models: what is imported of it says what to do."""

from __future__ import annotations

import sys
from typing import Any

from minicnn import absent

for _name in (
    *("convnext", "densenet", "efficientnet", "efficientnet_v2", "imagenet_utils"),
    *("inception_resnet_v2", "inception_v3", "mobilenet", "mobilenet_v2", "mobilenet_v3"),
    *("nasnet", "resnet", "resnet50", "resnet_v2", "vgg16", "vgg19", "xception"),
):
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    # other names are what tools look for in modules
    is_of_keras = name[:1].isupper() or name in ("decode_predictions", "preprocess_input")
    known = {name: absent.APPLICATIONS} if is_of_keras else {}
    return absent.attribute(__name__, name, known)
