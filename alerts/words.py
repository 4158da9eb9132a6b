"""A message in words: one line above, the sentences, and how to look further."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from ..schemas.anomalies import Anomaly
from .letter import Letter, News

MOST_LISTED = 10
"""Episodes that a message has a line for; of the others it has the number."""
MOST_TEXT = 500
"""Characters of a name or sentence that came with the anomaly."""
_MARKS = {"critical": "CRITICAL", "warning": "Warning", "info": "For information"}


def subject(letter: Letter) -> str:
    """One line: how bad, which agent, which rule, how many."""
    if letter.is_test:
        return "Test: alerts of runwatch reach you"
    worst = letter.worst.anomaly
    mark = {"resolved": "Over", "passed": "Was over at once"}.get(letter.kind, _MARKS[letter.severity])
    groups = {(one.anomaly.rule, one.anomaly.agent) for one in letter.news}
    if len(groups) == 1:
        many = f", {len(letter.news):,} times" if len(letter.news) > 1 else ""
        return f"{mark}: {clean(worst.rule)} at {agent_of(worst)}{many}"
    agents = len({one.anomaly.agent for one in letter.news})
    return (
        f"{mark}: {len(letter.news):,} anomalies of {_counted(len({rule for rule, _ in groups}), 'rule')} "
        f"at {_counted(agents, 'agent')}, {clean(worst.rule)} at {agent_of(worst)} among them"
    )


def lines(letter: Letter, link: str | None = None) -> list[str]:
    """What is told: the worst in full, of the others a line each, or their number."""
    worst = letter.worst
    told = [_sentence(worst), *_details(worst.anomaly)]
    if not letter.is_test:
        told.append(_further(worst.anomaly, link))
    others = [one for one in letter.news if one is not worst]
    if others:
        told += ["", f"And {_counted(len(others), 'more', 'more')}:", *_others(others)]
    return told


def text(letter: Letter, link: str | None = None) -> str:
    """`lines`, as one text."""
    return "\n".join(lines(letter, link))


def _others(others: Sequence[News]) -> list[str]:
    if len(others) <= MOST_LISTED:
        return [f"- {_about(one.anomaly)}: {_sentence(one)}" for one in others]
    counts = Counter((one.kind, one.anomaly.rule, one.anomaly.agent) for one in others)
    found = []
    for (kind, rule, agent), count in counts.most_common(MOST_LISTED):
        runs = [
            one.anomaly.run_id
            for one in others
            if (one.kind, one.anomaly.rule, one.anomaly.agent) == (kind, rule, agent)
        ]
        named = [clean(run) for run in runs if run is not None][:3]
        which = f", runs {', '.join(named)}{' …' if count > len(named) else ''}" if named else ""
        word = {"resolved": " over", "passed": " over at once"}.get(kind, "")
        found.append(f"- {count:,}{word}: {clean(rule)} at {'several agents' if agent == '*' else clean(agent)}{which}")
    if len(counts) > MOST_LISTED:
        rest = sum(counts.values()) - sum(count for _, count in counts.most_common(MOST_LISTED))
        found.append(f"- {rest:,} of {_counted(len(counts) - MOST_LISTED, 'other kind')}")
    return found


def _sentence(one: News) -> str:
    said = clean(one.anomaly.message)
    if one.kind == "resolved":
        return f"Over since {_clock(one.anomaly.ts_ms)}: {said}"
    if one.ended is not None:
        return f"{said} It is over, since {_clock(one.ended.ts_ms)}: {clean(one.ended.message)}"
    return said


def _details(anomaly: Anomaly) -> list[str]:
    found = [
        ("agent", agent_of(anomaly)),
        ("version", anomaly.agent_version),
        ("model", anomaly.model),
        ("tool", anomaly.tool),
        ("run", anomaly.run_id),
        ("rule", anomaly.rule),
        ("since", _clock(anomaly.onset_ms)),
    ]
    return [f"{name}: {clean(value)}" for name, value in found if value]


def _further(anomaly: Anomaly, link: str | None) -> str:
    if link is not None:
        return link_of(anomaly, link)
    if anomaly.run_id is not None:
        return f"runwatch show {clean(anomaly.run_id)}"
    return "runwatch anomalies"


def link_of(anomaly: Anomaly, template: str) -> str:
    """The address of an anomaly: names in braces filled in, each as a piece of an address."""
    fields = {
        "rule": anomaly.rule,
        "agent": anomaly.agent,
        "run_id": anomaly.run_id or "",
        "anomaly_id": anomaly.anomaly_id,
    }
    return re.sub(r"\{(\w+)\}", lambda found: quote(fields.get(found[1], found[0]), safe=""), template)


def agent_of(anomaly: Anomaly) -> str:
    """The agent, in words."""
    return "several agents" if anomaly.agent == "*" else clean(anomaly.agent)


def clean(text: str) -> str:
    """A text that somebody else wrote, on one line, without what a terminal or a mail's head would obey."""
    shown = "".join(
        " " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one)[0] != "C"
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= MOST_TEXT else shown[: MOST_TEXT - 1] + "…"


def _about(anomaly: Anomaly) -> str:
    return f"{clean(anomaly.rule)} at {agent_of(anomaly)}" + (
        f", run {clean(anomaly.run_id)}" if anomaly.run_id else ""
    )


def _clock(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def _counted(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
