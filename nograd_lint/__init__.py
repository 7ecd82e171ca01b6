"""nograd-lint: a linter for PyTorch grad mode."""

__version__ = "0.1.0"
