"""python -m helpers COMMAND: see helpers/apps/cli.py."""

from helpers.apps.cli import main

if __name__ == "__main__":
    main()
