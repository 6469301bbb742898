"""VGG, ResNet, GoogLeNet and SPP-net as their papers describe them.

>>> import fourfold
>>> fourfold.classify("photo.jpg")[0].top[0].label        # doctest: +SKIP
'dog'
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fourfold.features.estimator import FourfoldFeatures as FourfoldFeatures
    from fourfold.memory import keep_memory as keep_memory
    from fourfold.networks import build as build
    from fourfold.verbs import Answer as Answer
    from fourfold.verbs import Failure as Failure
    from fourfold.verbs import Guess as Guess
    from fourfold.verbs import Model as Model
    from fourfold.verbs import check_data as check_data
    from fourfold.verbs import class_heat as class_heat
    from fourfold.verbs import classify as classify
    from fourfold.verbs import evaluate as evaluate
    from fourfold.verbs import evaluate_each as evaluate_each
    from fourfold.verbs import explain as explain
    from fourfold.verbs import load as load
    from fourfold.verbs import load_file as load_file
    from fourfold.verbs import models as models
    from fourfold.verbs import predictor as predictor
    from fourfold.verbs import protocol_names as protocol_names
    from fourfold.verbs import show_views as show_views
    from fourfold.verbs import train as train
    from fourfold.verbs_detect import detect as detect
    from fourfold.verbs_detect import detector as detector
    from fourfold.verbs_detect import evaluate_detections as evaluate_detections
    from fourfold.verbs_detect import propose as propose
    from fourfold.verbs_detect import train_detector as train_detector
    from fourfold.verbs_features import features as features
    from fourfold.verbs_features import probe as probe
    from fourfold.verbs_features import search as search
    from fourfold.verbs_features import similar_pairs as similar_pairs
    from fourfold.verbs_localize import evaluate_localizer as evaluate_localizer
    from fourfold.verbs_localize import evaluate_localizer_each as evaluate_localizer_each
    from fourfold.verbs_localize import load_localizer as load_localizer
    from fourfold.verbs_localize import localize as localize
    from fourfold.verbs_localize import train_localizer as train_localizer
    from fourfold.verbs_reproduce import claims as claims
    from fourfold.verbs_reproduce import plan_on_imagenet as plan_on_imagenet
    from fourfold.verbs_reproduce import reproduce as reproduce
    from fourfold.verbs_reproduce import write_claims_page as write_claims_page

ELSEWHERE = {
    "build": "networks",
    "keep_memory": "memory",
    "FourfoldFeatures": "features.estimator",
    "features": "verbs_features",
    "probe": "verbs_features",
    "search": "verbs_features",
    "similar_pairs": "verbs_features",
    "claims": "verbs_reproduce",
    "plan_on_imagenet": "verbs_reproduce",
    "reproduce": "verbs_reproduce",
    "write_claims_page": "verbs_reproduce",
    "evaluate_localizer": "verbs_localize",
    "evaluate_localizer_each": "verbs_localize",
    "load_localizer": "verbs_localize",
    "localize": "verbs_localize",
    "train_localizer": "verbs_localize",
}
DETECTION = ("detect", "detector", "evaluate_detections", "propose", "train_detector")
__all__ = [
    "Answer",
    "Failure",
    "FourfoldFeatures",
    "Guess",
    "Model",
    "build",
    "check_data",
    "claims",
    "class_heat",
    "classify",
    "detect",
    "detector",
    "evaluate",
    "evaluate_detections",
    "evaluate_each",
    "evaluate_localizer",
    "evaluate_localizer_each",
    "explain",
    "features",
    "keep_memory",
    "load",
    "load_file",
    "load_localizer",
    "localize",
    "models",
    "plan_on_imagenet",
    "predictor",
    "probe",
    "propose",
    "protocol_names",
    "reproduce",
    "search",
    "show_views",
    "similar_pairs",
    "train",
    "train_detector",
    "train_localizer",
    "write_claims_page",
]


def __getattr__(name: str) -> object:
    """Import a verb when it is first asked for, so that `import fourfold` itself costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'fourfold' has no attribute {name!r}")
    from importlib import import_module

    home = ELSEWHERE.get(name, "verbs_detect" if name in DETECTION else "verbs")
    return getattr(import_module(f"fourfold.{home}"), name)


class _Package(ModuleType):
    """Some verbs are called like the packages that they use; importing those must not put them in the verbs' place."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
