"""`runwatch alert`, `alerts` and `silence`: who is told of anomalies, whether it reaches them, and silence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config
from .commanding import ForOption, duration_ms, give, now_ms, read_control
from .config_file import load_config_file
from .exits import FOUND, MISUSED, Fail
from .output import Format, FormatOption, clock, print_rows, say
from .run import _log

if TYPE_CHECKING:
    from ..alerts.choose import Quiet
    from ..settings.alerts import Alerts, Receiver

_RECEIVERS = ("receiver", "kind", "to", "severity", "rules", "agents")
_SILENCES = ("rule", "agent", "until", "by", "why")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command(rich_help_panel="Run")(alert)
    app.command(rich_help_panel="Ask")(alerts)
    app.command(rich_help_panel="Act")(silence)


def alert() -> None:
    """Run the alerts: tell the receivers of the config file what is found, each episode once.

    Needs a config file (RUNWATCH_CONFIG) with receivers under `alerts`; `runwatch alerts test` tries them. Of several
    that run, one tells each receiver, and another takes over should it end.

    Example: [bold]RUNWATCH_CONFIG=runwatch.yaml runwatch alert[/bold]
    """
    _log()
    from ..alerts.app import run_alerts
    from ..alerts.deliver import Stats
    from ..alerts.metrics import AlertMetrics
    from ..metrics.serve import serving

    settings = config.load()
    said = load_config_file(settings.config)
    stats: dict[str, Stats] = {}
    with serving(settings, "alerts", AlertMetrics(stats)):
        run_alerts(settings, said.alerts, lambda anomaly: said.policy.action(anomaly) != "ignore", stats=stats)


def alerts(
    action: Annotated[str | None, typer.Argument(help="`test` sends a message; else receivers are listed.")] = None,
    receiver: Annotated[str | None, typer.Argument(help="The one to test; else all of them.")] = None,
    form: FormatOption = Format.table,
) -> None:
    """List who is told of anomalies, and what is silenced; or, with `test`, tell them that this is a test.

    Secrets are not shown. The exit code of a test is 1 where a message did not arrive.

    Example: [bold]runwatch alerts test team-slack[/bold]
    """
    settings = config.load()
    said = load_config_file(settings.config).alerts
    if action is None:
        _list(settings, said, form)
        return
    if action != "test":
        raise Fail(f"`runwatch alerts` lists, and `runwatch alerts test` tries; {action!r} is neither.", MISUSED)
    known = [one.name for one in said.receivers]
    if not known:
        raise Fail("There are no receivers to test: alerts.receivers of the config file has them.", MISUSED)
    if receiver is not None and receiver not in known:
        raise Fail(f"There is no receiver {receiver!r}; there are {', '.join(known)}.", MISUSED)
    results = [_test(one, said) for one in said.receivers if receiver in (None, one.name)]
    if form is Format.table:
        for one in results:
            print(f"{one['receiver']}: {one['said']}")
    else:
        print_rows(results, ("receiver", "sent", "said"), form, "")
    if not all(one["sent"] for one in results):
        raise typer.Exit(FOUND)


def silence(
    rule: Annotated[str, typer.Argument(help="Which rules, such as loop.repeat, drift.* or *.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit and for whoever wonders.")],
    agent: Annotated[str, typer.Option(help="Of which agents, such as nightly-*.")] = "*",
    lasting: ForOption = None,
    lift: Annotated[bool, typer.Option("--lift", help="End the silence, given in the same words.")] = False,
) -> None:
    """Tell nobody of some rules for a while; what was found is stored all the same.

    An episode that is still open when the silence ends is told then.

    Example: [bold]runwatch silence "drift.*" --agent nightly-report --for 2h --why "moving to the new model"[/bold]
    """
    from ..control.scopes import ScopeError, alerts_scope, parse

    if "@" in agent:
        raise Fail("--agent is a pattern without an @.", MISUSED)
    scope = alerts_scope(rule, agent)
    try:
        parse(scope)
    except ScopeError as error:
        raise Fail(str(error), MISUSED) from error
    if lift:
        if lasting is not None:
            raise Fail("Give one of --for and --lift.", MISUSED)
        give(config.load(), scope, "allow", why, None)
        return
    if lasting is None:
        raise Fail("Say for how long: --for 2h. What is never to be told is a matter of the policy.", MISUSED)
    duration_ms(lasting)
    give(config.load(), scope, "stop", why, lasting)


# -- parts -----------------------------------------------------------------------------------------


def _list(settings: config.Settings, said: Alerts, form: Format) -> None:
    from ..alerts.build import place_of

    receivers: list[dict[str, Any]] = [
        {
            "receiver": one.name,
            "kind": one.kind,
            "to": place_of(one, os.environ),
            "severity": one.severity,
            "rules": ", ".join(one.rules),
            "agents": ", ".join(one.agents),
        }
        for one in said.receivers
    ]
    silences = [_row(one) for one in _silences(settings, said)]
    if form is not Format.table:
        rows = [{"entry": "receiver", **one} for one in receivers] + [{"entry": "silence", **one} for one in silences]
        print_rows(rows, ("entry", *_RECEIVERS, *_SILENCES), form, "")
        return
    print_rows(receivers, _RECEIVERS, form, "Nobody is told: alerts.receivers of the config file names who is to be.")
    if silences:
        print()
        print_rows(silences, _SILENCES, form, "")


def _silences(settings: config.Settings, said: Alerts) -> list[Quiet]:
    from ..alerts.choose import Silences

    read = read_control(settings)
    if not read.loaded:
        say(f"The Kafka broker at {settings.kafka} does not answer: silences that were sent are not shown.")
    return Silences(said.silences, read.state).standing(now_ms())


def _row(one: Quiet) -> dict[str, Any]:
    until = "" if one.until_ms is None else clock(one.until_ms)
    return {"rule": one.rule, "agent": one.agent, "until": until, "by": one.by, "why": one.why}


def _test(receiver: Receiver, said: Alerts) -> dict[str, Any]:
    from ..alerts.build import build, place_of, trial_message
    from ..alerts.secrets import ReceiverError
    from ..alerts.senders.unsent import Unsent

    try:
        build(receiver, os.environ, said.link).send(trial_message(receiver, now_ms()))
    except (ReceiverError, Unsent) as error:
        return {"receiver": receiver.name, "sent": False, "said": str(error)}
    return {"receiver": receiver.name, "sent": True, "said": f"told, at {place_of(receiver, os.environ)}."}
