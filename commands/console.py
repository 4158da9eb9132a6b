"""`runwatch console`: the web page, as production starts it; and new tokens for it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .. import config, endpoints
from .exits import MISUSED, Fail
from .output import console as out
from .output import say
from .run import _log

if TYPE_CHECKING:
    from ..console.access.tokens import Tokens


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Run")(console)


def console(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8090,
    new_tokens: Annotated[
        bool, typer.Option("--new-tokens", help="Make new tokens, print them, and end; the old ones no longer hold.")
    ] = False,
) -> None:
    """Run the console: the web page that shows what is wrong, and the button that stops it.

    Who opens it needs a token: those that were printed when the first console was started, or those that
    RUNWATCH_CONSOLE_OPERATOR_TOKEN and RUNWATCH_CONSOLE_VIEWER_TOKEN set. With --new-tokens whoever was signed in
    signs in again; a console that runs takes them at once.

    Example: [bold]runwatch console --port 8090[/bold]
    """
    from ..console.access import tokens

    settings = config.load()
    if new_tokens:
        if tokens.given(settings):
            raise Fail(
                "The tokens are set by RUNWATCH_CONSOLE_OPERATOR_TOKEN and RUNWATCH_CONSOLE_VIEWER_TOKEN, or their "
                "files: change them there, and start the console anew.",
                MISUSED,
            )
        url = endpoints.read(settings.home).get("console") or settings.console_url
        print_tokens(tokens.make(settings.home), url or f"http://{host}:{port}")
        return
    _log()
    url = settings.console_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not tokens.are_set(settings) and sys.stdout.isatty():
        print_tokens(tokens.make(settings.home), url)
    from ..console.serve import serve
    from ..console.stats import Asked
    from ..metrics.serve import serving

    say(f"The console is at {url}")
    asked = Asked()
    with serving(settings, "console", asked):
        serve(settings, host, port, asked)
    _leave()


def _leave() -> NoReturn:
    """Ends the process. A question to a store that hangs holds a thread, and Python would wait for it."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def print_tokens(made: Tokens, url: str) -> None:
    """Shows new tokens, which nothing shows again: as addresses to open. A fragment is not sent to any server."""
    for whose, token in (("operators, who may also stop agents", made.operator), ("viewers", made.viewer)):
        out.print(f"For {whose}:", highlight=False)
        out.print(f"  {url}/login#token={token}", highlight=False, markup=False, soft_wrap=True)
    out.print("These are shown once; `runwatch console --new-tokens` makes new ones.", highlight=False)
