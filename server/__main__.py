"""`python -m server`: see `--help`."""

from server.cli import cli

if __name__ == "__main__":
    cli()
