"""The entry point of `cors-authz` and of `python -m cors_authz`."""

from __future__ import annotations

import os

from cors_authz.cli.main import cli


def main() -> None:
    """Run the command line."""
    # Pydantic would search every installed package for plugins at each start; none has a say in how a policy is read.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    cli(prog_name="cors-authz", auto_envvar_prefix=None)


if __name__ == "__main__":
    main()
