"""The command line, where what it is made of is installed; `python -m lite_llm4rec` too."""

import sys

from lite_llm4rec.errors import MissingExtraError


def main() -> None:
    """Run the command line, or say how to install it."""
    try:
        from lite_llm4rec.cli import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"error: {MissingExtraError(error.name, 'cli', 'The command')}", file=sys.stderr)
        raise SystemExit(2) from error
    run()


if __name__ == "__main__":
    main()
