"""``python -m nograd_lint``"""

from nograd_lint.cli import main

if __name__ == "__main__":
    main()
