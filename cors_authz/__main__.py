"""The entry point of `cors-authz` and of `python -m cors_authz`."""

from __future__ import annotations

from cors_authz.cli.main import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="cors-authz", auto_envvar_prefix=None)


if __name__ == "__main__":
    main()
