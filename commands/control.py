"""`runwatch kill`, `allow`, `approve` and `control`: what agents may do, said and seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config
from .commanding import ForOption, give, now_ms, read_control
from .config_file import load_config_file
from .exits import AWAY, MISUSED, Fail
from .keygen import make_keys
from .output import Format, FormatOption, clock, print_rows, say
from .reader import open_reader

if TYPE_CHECKING:
    from ..control.follow import Follower
    from ..schemas.controls import Control

_STANDING = ("scope", "mode", "since", "until", "by", "signed_by", "why")
_HISTORY = ("ts", "entry", "who", "signed_by", "scope", "what", "why")
_WAITING = ("approval", "since", "agent", "tool", "args_sha", "run_id")
_AUDIT = """
SELECT ts, entry, who, scope, what, why, run_id, agent, tool, anomaly_id, expires_at, signed_by
FROM audit
WHERE {scope:String} = '' OR scope = {scope:String} OR scope = concat('dry:', {scope:String})
ORDER BY ts DESC LIMIT {limit:UInt32}
"""

ScopeArgument = Annotated[
    str, typer.Argument(help="`fleet`, `agent:NAME`, `version:NAME@VERSION`, `tool:NAME` or `run:ID`.")
]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, for the audit and for whoever is stopped.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (kill, allow, approve, control):
        app.command(rich_help_panel="Act")(command)


def kill(
    scope: ScopeArgument,
    why: WhyOption,
    mode: Annotated[
        str | None,
        typer.Option(
            help="`stop` or `disable_writes`; else a run is stopped, and others do as the config's switch says."
        ),
    ] = None,
    lasting: ForOption = None,
) -> None:
    """Stop a run, an agent, a version, a tool or the whole fleet, or forbid them to write.

    Agents obey before their next call, some milliseconds later; such as start later obey too.

    Example: [bold]runwatch kill agent:support --mode stop --for 1h --why "sends the same mail over and over"[/bold]
    """
    settings = config.load()
    if mode is None:
        mode = "stop" if scope.startswith("run:") else _switch_mode(settings)
    if mode not in ("stop", "disable_writes"):
        raise Fail(f"--mode is stop or disable_writes, and this is {mode!r}.", MISUSED)
    give(settings, _binding(scope), "stop" if mode == "stop" else "disable_writes", why, lasting)


def allow(scope: ScopeArgument, why: WhyOption) -> None:
    """Lift what `kill` or a policy said of a scope.

    What was said of a wider one stays: an agent that is allowed is still stopped while the fleet is.

    Example: [bold]runwatch allow agent:support --why "mended in 1.4.3"[/bold]
    """
    give(config.load(), _binding(scope), "allow", why, None)


def approve(
    approval: Annotated[str | None, typer.Argument(help="The write's id, as its refusal names it.")] = None,
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Say no instead.")] = False,
    lasting: Annotated[str, typer.Option("--for", help="How long the answer holds.")] = "1h",
    form: FormatOption = Format.table,
) -> None:
    """Let a write be done that waits for a person; without an id, list those that wait.

    The answer is for one call: this tool, in this run, with these arguments.

    Example: [bold]runwatch approve 5d41402abc4b2a76b9719d91 --why "the customer asked for it"[/bold]
    """
    from ..control.scopes import approval_scope

    settings = config.load()
    if approval is None:
        _list_waiting(settings, form)
        return
    if not why.strip():
        raise Fail("Say why: --why is kept in the audit.", MISUSED)
    give(settings, approval_scope(approval), "stop" if deny else "allow", why, lasting)


class Doing(StrEnum):
    """What is done instead of showing."""

    keygen = "keygen"


def control(
    what: Annotated[Doing | None, typer.Argument(help="`keygen`: make a pair of keys for signed commands.")] = None,
    history: Annotated[bool, typer.Option("--history", help="What was said and refused so far, newest first.")] = False,
    scope: Annotated[str, typer.Option(help="Of this scope alone.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Approvals, silences, dry runs and what is allowed, too.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, with --history.")] = 50,
    name: Annotated[str, typer.Option(help="Whose keys, with keygen: a person's name, or a program's.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the private key to this new file, and do not show it, with keygen.")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Show what agents may not do: the commands in force, by whom and why.

    Example: [bold]runwatch control --history --scope agent:support[/bold]
    """
    if what is Doing.keygen:
        if not name:
            raise Fail("Say whose keys they are: --name stands beside each command in the audit.", MISUSED)
        make_keys(name, out)
        return
    settings = config.load()
    if history:
        rows = open_reader(settings).rows(_AUDIT, scope=scope, limit=limit)
        columns = _told(_HISTORY, rows) if form is Format.table else tuple(rows[0]) if rows else _HISTORY
        print_rows(rows, columns, form, "Nothing was said or refused so far.", spare=("entry",))
        return
    from ..control.scopes import parse

    at_ms = now_ms()
    topic = _topic(settings)
    rows = [
        _row(one, topic.signed_by(one.scope))
        for one in topic.state.commands(at_ms)
        if (not scope or one.scope == scope) and (everything or (one.mode != "allow" and parse(one.scope).binds_agents))
    ]
    columns = _told(_STANDING, rows) if form is Format.table else (*_STANDING, "anomaly_id", "control_id")
    print_rows(rows, columns, form, "Nothing is forbidden: no command is in force.")


# -- parts -----------------------------------------------------------------------------------------


def _binding(scope: str) -> str:
    """The scope, if agents go by it. Raises `Fail`."""
    from ..control.scopes import ScopeError, parse

    try:
        if parse(scope).binds_agents:
            return scope
    except ScopeError as error:
        raise Fail(str(error), MISUSED) from error
    raise Fail(f"{scope} binds no agent; see `runwatch approve` and `runwatch silence`.", MISUSED)


def _told(columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Without who signed what, where nothing is signed."""
    return tuple(name for name in columns if name != "signed_by" or any(row[name] for row in rows))


def _topic(settings: config.Settings) -> Follower:
    """What stands in the topic. Raises `Fail` where the broker does not answer."""
    read = read_control(settings)
    if not read.loaded:
        raise Fail(f"The Kafka broker at {settings.kafka} does not answer; is it up?", AWAY)
    if read.ignored:
        say(f"{read.ignored:,} messages of the control topic are no commands; nobody goes by them.")
    return read


def _list_waiting(settings: config.Settings, form: Format) -> None:
    from ..control.approvals import waiting

    found = waiting(open_reader(settings).unapproved(), _topic(settings).state, now_ms())
    print_rows([asdict(one) for one in found], _WAITING, form, "No write waits to be approved.")


def _row(command: Control, signed_by: str | None) -> dict[str, Any]:
    return {
        "scope": command.scope,
        "mode": command.mode,
        "since": clock(command.ts_ms),
        "until": "" if command.expires_ms is None else clock(command.expires_ms),
        "by": command.by,
        "signed_by": signed_by or "",
        "why": command.why,
        "anomaly_id": command.anomaly_id,
        "control_id": command.control_id,
    }


def _switch_mode(settings: config.Settings) -> str:
    return load_config_file(settings.config).controls.kill_switch.mode
