"""Run the flagged code as it is and with the guard in place, and measure what the difference is.

Two sides, one package. These modules run in the *user's* interpreter, loaded by ``boot.py`` without ``nograd_lint``
itself, and use nothing but the standard library and the user's torch (Python 3.9 and torch 2.0 or newer):
``boot``, ``hook``, ``instrument``, ``state``, ``probe``, ``recorder``, ``ledger``, ``peak``, ``modules``, ``digest``,
``train``, ``timing`` and ``estimate``. All others run beside the linter and never import torch.
"""
