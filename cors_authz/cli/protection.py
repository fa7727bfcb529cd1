"""Options that protect: their variables may be unset, and not empty."""

from __future__ import annotations

import os
from typing import Any

import click


class Protection(click.Option):
    """An option without which something is served in the clear, not asked for, or not recorded.

    To click an empty variable is none: where a template or a shell lost the value, the protection would be gone without
    a word. What is given on the command line still counts before the variable.
    """

    def value_from_envvar(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Refuse a variable that is set and empty.

        Raises: click.UsageError.
        """
        if isinstance(self.envvar, str) and os.environ.get(self.envvar) == "":
            raise click.UsageError(
                f"{self.opts[0].removeprefix('--')}: {self.envvar} is set and empty; write a value, or unset it", ctx
            )
        return super().value_from_envvar(ctx)
