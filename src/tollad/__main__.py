"""``python -m tollad`` is the command ``tollad``."""

from tollad.cli.main import main

if __name__ == "__main__":
    main()
