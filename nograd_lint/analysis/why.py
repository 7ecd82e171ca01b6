"""Why a forward is not reported: said by the analysis where it decides so."""

from __future__ import annotations

import enum


class Why(enum.Enum):
    """What speaks against a tracked evaluation; the value is what people are told."""

    OFF = "gradients are off there"
    FROZEN = "no parameter of it requires a gradient"
    INPUT = "its input asks for a gradient"
    RETRIED = "the same forward is tried under a guard first, or another branch guards it"
    UNSURE = "it is not sure that it runs a model"
    OTHER_LIBRARY = "the file works with another library than PyTorch"
    BACKWARD = "a backward walks its graph"
    TRAINING = "it belongs to training"
    OWN_FORWARD = "it is part of a module's own `forward`: who calls that decides whether gradients are needed"
    PROCESS_OFF = "gradients are off in the whole process"
    FRAMEWORK = "a framework decides about gradients there"
    AT_CALLEE = "it is reported where the function that is called runs the model"
    CALLERS_OFF = "not every caller has gradients on"
    CALLERS_BACKWARD = "a caller runs backward on what it returns"
    AT_CALLERS = "only evaluations call it: they are reported instead"
