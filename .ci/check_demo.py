"""Checks the one-line summary of `runwatch demo --once --json`: usage check_demo.py FILE."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any


def problems(summary: dict[str, Any]) -> list[str]:
    """What is wrong with a summary, a sentence each; none where the demo did what it is for."""
    found: list[str] = []
    events = summary["events"]
    if not events["sent"] or events["sent"] != events["stored"]:
        found.append(f"{events['sent']} events were sent and {events['stored']} stored")
    if summary["runs"] <= 0:
        found.append("there are no runs")
    rules = {rule_of(anomaly) for anomaly in summary["anomalies"]}
    fired = ", ".join(sorted(rules)) or "none"
    silent = [family for family in ("loop.", "drift.") if not any(rule.startswith(family) for rule in rules)]
    found.extend(f"no {family}* rule fired; these did: {fired}" for family in silent)
    if not summary["incident"]["seen"]:
        found.append("the incident was not seen")
    if summary["incident"]["onset_ms"] <= 0:
        found.append("the incident has no beginning")
    stopped = summary["stopped"]
    if stopped["runs"] <= 0:
        found.append("the policy stopped no run")
    found.extend(
        f"stopping runs saved none of their {what}: {stopped[what]} of {stopped[f'{what}_without']}"
        for what in ("calls", "cost_usd")
        if stopped[what] >= stopped[f"{what}_without"]
    )
    if summary["seconds"] <= 0:
        found.append("the demo took no time")
    return found


def digest(summary: dict[str, Any]) -> str:
    """A good summary in a line: it holds every anomaly, and these are hundreds."""
    fired = Counter(rule_of(anomaly) for anomaly in summary["anomalies"])
    rules = ", ".join(f"{count} {rule}" for rule, count in sorted(fired.items()))
    stopped = summary["stopped"]
    return (
        f"demo: {summary['events']['stored']} events and {summary['runs']} runs stored; {rules}; "
        f"{stopped['runs']} runs stopped, {stopped['calls_without'] - stopped['calls']} calls and "
        f"${stopped['cost_usd_without'] - stopped['cost_usd']:.2f} saved, {stopped['delay_ms']} ms late; "
        f"{summary['seconds']} seconds"
    )


def rule_of(anomaly: Any) -> str:
    """An anomaly's rule; anomalies may be told by their rules alone."""
    return str(anomaly["rule"] if isinstance(anomaly, dict) else anomaly)


def main(path: Path) -> int:
    """Prints what is wrong and returns the exit code."""
    text = path.read_text(encoding="utf-8")
    try:
        # One line, so that scripts can take it as it comes.
        (line,) = text.splitlines()
        summary = json.loads(line)
        wrong = problems(summary)
    except (ValueError, KeyError, TypeError) as error:
        wrong = [
            f"the summary is not one line of the JSON it should be ({type(error).__name__}: {error}): {text[:500]!r}"
        ]
    for sentence in wrong:
        print(f"demo: {sentence}", file=sys.stderr)
    if not wrong:
        print(digest(summary))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
