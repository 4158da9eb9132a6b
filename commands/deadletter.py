"""`runwatch deadletter`: messages that could not be read, listed, shown, sent back; and topics held for them."""

from __future__ import annotations

import base64
import inspect
import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config
from .commanding import duration_ms, now_ms, whoami
from .exits import FOUND, MISUSED, Fail
from .output import Format, FormatOption, WholeFormat, console, counted, print_json, print_rows, say
from .reader import open_reader

if TYPE_CHECKING:
    from ..sinks.query import Reader
    from .letters import Chosen, Letter

_LIST = ("letter", "stored", "reason", "bytes", "key", "sent_back", "detail")
_SENT = ("topic", "outcome", "letters", "why")
_HEX = 16
"""Bytes of a line of a dump."""
_SHOWN = 4_096
"""Bytes that are shown of a message; as JSON all are."""

TopicOption = Annotated[str, typer.Option(help="Of this topic alone, such as events.")]
ReasonOption = Annotated[str, typer.Option(help="For this reason alone, such as schema.")]
SinceOption = Annotated[str, typer.Option(help="Such as were stored this long ago or later, as 90m or 2d.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Messages that could not be read: list and show them, send them back, have a held topic read on.",
    )
    for command, name in ((list_letters, "list"), (show, "show"), (retry, "retry"), (resume, "resume")):
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        group.command(name, help="\n\n".join(" ".join(one.split("\n")) for one in paragraphs))(command)
    app.add_typer(group, name="deadletter", rich_help_panel="Act")


def list_letters(
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Such as were sent back, too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    form: FormatOption = Format.table,
) -> None:
    """List the dead letters, newest first, and how many there are for which reason.

    A letter is known by where it was read: topic, partition and offset. They are kept for 14 days.

    Example: [bold]runwatch deadletter list --reason schema[/bold]
    """
    from .letters import counts, latest

    reader = open_reader(config.load())
    chosen = _chosen(topic, reason, since, everything)
    letters = latest(reader, chosen, limit)
    rows = [_row(letter) for letter in letters]
    if form is not Format.table:
        print_rows(rows, _LIST, form, "")
        return
    print_rows(rows, _LIST, form, "No such dead letters are stored.", below=("detail",), spare=("sent_back", "key"))
    found = counts(reader, chosen)
    if found:
        total = counted(sum(row["letters"] for row in found), "dead letter")
        say(f"{total}: " + ", ".join(f"{row['topic']} {row['reason']} {row['letters']:,}" for row in found[:10]) + ".")


def show(
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="Which, as `list` names it: TOPIC/PARTITION/OFFSET.")],
    form: Annotated[WholeFormat, typer.Option("--format", "-f", help="How to print it.")] = WholeFormat.table,
) -> None:
    """Show a dead letter: why it is one, its bytes, and what is in it if it can be read by now.

    Example: [bold]runwatch deadletter show agent.events/2/1234[/bold]
    """
    from ..schemas.registry import open_registry
    from ..schemas.wire import WireError
    from .letters import Post

    settings = config.load()
    found = _found(open_reader(settings), letter)
    post = Post(settings, open_registry(settings.registry))
    trouble = post.trouble(found)
    try:
        record: dict[str, Any] | None = post.read(found)
    except WireError:
        record = None
    if form is not WholeFormat.table:
        whole = _row(found) | {
            "key": _encoded(found.key),
            "value": _encoded(found.value),
            "retries": found.retries,
            "cut_from_bytes": found.cut_from_bytes,
            "record": record,
            "can_be_sent_back": trouble is None,
            "why_not": trouble,
        }
        print_rows([whole], (), Format.json, "") if form is WholeFormat.json else print_json(whole)
        return
    for name, value in (
        ("letter", found.name),
        ("stored", f"{found.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("reason", f"{found.reason}: {found.detail}"),
        ("key", _text(found.key)),
        ("sent back", "" if found.retried_at is None else f"{found.retried_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("retries", str(found.retries or "")),
    ):
        if value:
            console.print(f"{name:<10} {_visible(value)}", highlight=False, markup=False, soft_wrap=True)
    for line in _dump(found.value):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if record is not None:
        text = json.dumps(record, default=str, ensure_ascii=False)
        console.print(_visible(text), highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"It cannot be sent back: {_visible(trouble)}."
        if trouble is not None
        else f"`runwatch deadletter retry {found.name}` sends it back.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def retry(
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[LETTER]...", help="Which, as `list` names them.")
    ] = None,
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    everything: Annotated[bool, typer.Option("--all", help="All that wait, of whatever kind.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Such as were sent back before, too.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="How many at the most.")] = None,
    form: FormatOption = Format.table,
) -> None:
    """Send dead letters back to where they came from, as far as they can be read by now.

    Whatever still cannot be read stays where it is, and so do commands to agents. What was stored already counts once:
    to say this twice does no harm. Exits with 1 if some had to stay.

    Example: [bold]runwatch deadletter retry --reason schema[/bold]
    """
    from ..schemas.registry import open_registry
    from .letters import Post, pages

    if not letters and not (topic or reason or since or everything):
        raise Fail("Say which: letters by name, --topic, --reason, --since, or --all.", MISUSED)
    if letters and (topic or reason or since or everything):
        raise Fail("Name letters, or say of which kind: not both.", MISUSED)
    settings = config.load()
    reader = open_reader(settings)
    post = Post(settings, open_registry(settings.registry))
    chosen = _chosen(topic, reason, since, again)
    # By name: somebody looked at it.
    batches = [[_found(reader, name) for name in letters]] if letters else pages(reader, chosen, limit)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    for batch in batches:
        good: list[Letter] = []
        for letter in batch:
            trouble = post.trouble(letter)
            if trouble is None:
                good.append(letter)
            # The bytes themselves are in some sentences; what is told apart here are kinds.
            outcomes[
                letter.topic, "sent" if trouble is None else "stays", "" if trouble is None else _kind(trouble)
            ] += 1
        if good and not dry:
            post.send(good)
    sent = "would be sent" if dry else "sent"
    rows = [
        {"topic": where, "outcome": sent if what == "sent" else what, "letters": count, "why": why}
        for (where, what, why), count in outcomes.most_common()
    ]
    print_rows(rows, _SENT, form, "No such dead letters wait.")
    if any(what != "sent" for _, what, _ in outcomes):
        raise typer.Exit(FOUND)


def resume(
    why: Annotated[str, typer.Option("--why", help="The reason, for whoever reads the log.")],
    part: Annotated[str, typer.Option(help="Of this part alone: sink or processors.")] = "",
    topic: TopicOption = "",
) -> None:
    """Have topics read on that are held: what stands in them by now may all go to the dead letters.

    The sink and the processors hold a topic of which nearly nothing can be read, lest they move it into the dead
    letters. They go on by themselves once it can be read, such as when its schema has been registered; this is for
    what will never be. From now on the limit counts anew.

    Example: [bold]runwatch deadletter resume --why "a load test wrote garbage"[/bold]
    """
    from ..deadletters.words import Words
    from ..schemas.holds import Hold
    from ..schemas.registry import open_registry

    if not why.strip():
        raise Fail("Say why: whoever reads the log will ask.", MISUSED)
    settings = config.load()
    words = Words(settings, open_registry(settings.registry))
    wanted = _full(settings, topic)
    held = [
        word.hold
        for word in words.read().values()
        if word.hold.state == "held" and part in ("", word.hold.part) and wanted in ("", word.hold.topic)
    ]
    if not held:
        say("No such topic is held.")
        return
    for one in held:
        words.say(Hold(one.part, one.topic, "drained", now_ms(), why.strip(), whoami()))
        console.print(f"{one.part}: {one.topic} is read on.", highlight=False, markup=False)


def _chosen(topic: str, reason: str, since: str, retried: bool) -> Chosen:
    from .letters import Chosen

    from_ms = now_ms() - duration_ms(since, "--since") if since else 0
    return Chosen(_full(config.load(), topic), reason, retried, from_ms)


def _full(settings: config.Settings, topic: str) -> str:
    """A topic's full name, of its last word or of the name itself."""
    return topic if not topic or "." in topic else settings.topic(topic)


def _found(reader: Reader, name: str) -> Letter:
    from .letters import one

    topic, _, place = name.partition("/")
    partition, _, offset = place.partition("/")
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        raise Fail(
            f"{name!r} names no dead letter; one is named as agent.events/2/1234, see `deadletter list`.", MISUSED
        )
    found = one(reader, topic, int(partition), int(offset))
    if found is None:
        raise Fail(f"There is no dead letter {name}: it may be older than 14 days, or not be stored yet.", FOUND)
    return found


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "letter": letter.name,
        "stored": letter.at.replace(microsecond=0),
        "reason": letter.reason,
        "bytes": None if letter.value is None else len(letter.value),
        "key": _text(letter.key),
        "sent_back": None if letter.retried_at is None else letter.retried_at.replace(microsecond=0),
        "detail": letter.detail,
    }


def _kind(trouble: str) -> str:
    """A sentence on why a letter stays, short enough to count by."""
    return trouble if len(trouble) <= 100 else trouble[:97] + "..."


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _visible(text: str) -> str:
    from .table import visible

    return visible(text)


def _encoded(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _dump(value: bytes | None) -> list[str]:
    """The bytes as people read them: place, hex, and what of it is text."""
    if value is None:
        return ["(no value)"]
    lines = []
    for at in range(0, min(len(value), _SHOWN), _HEX):
        piece = value[at : at + _HEX]
        text = "".join(chr(one) if 32 <= one < 127 else "." for one in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<{3 * _HEX}} {text}")
    if len(value) > _SHOWN:
        lines.append(f"... and {len(value) - _SHOWN:,} bytes more; --format json has them all")
    return lines or ["(empty)"]
