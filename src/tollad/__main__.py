"""``python -m tollad`` is the command ``tollad``."""

import signal


def main() -> None:
    """Run the command. Ctrl-C while its parts are imported ends it at once, without a traceback."""
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if on_ctrl_c is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tollad.cli.main import main as command

    signal.signal(signal.SIGINT, on_ctrl_c)
    command()


if __name__ == "__main__":
    main()
