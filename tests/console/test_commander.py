"""What the console says where its commands would bind nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runwatch.config import Settings
from runwatch.console.commander import Commander
from runwatch.control.send import ControlError
from runwatch.control.signing import make_pair


def test_a_console_without_a_key_shows_and_does_not_command(tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(f"mia {make_pair()[0]}\n")
    commander = Commander(Settings(kafka="127.0.0.1:1", control_signers=signers))
    assert 0 == len(commander.state)
    with pytest.raises(ControlError, match=r"^The command was not sent\. .* there is no key to sign with"):
        asyncio.run(commander.give("fleet", "stop", "a test", "mia", None))
