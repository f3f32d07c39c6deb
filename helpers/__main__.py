"""python -m helpers COMMAND: see helpers/apps/cli.py."""

import signal
import sys

if __name__ == "__main__":
    try:  # the import takes a second or two, in which Ctrl-C may come as well
        from helpers.apps.cli import main

        main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on another one changes nothing
        print(
            "\nInterrupted. Kept are finished records, stored activations, training up to its last whole "
            "epoch, and the last whole site; the same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
