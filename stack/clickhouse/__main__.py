"""``python -m runwatch.stack.clickhouse``: the server as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from aiohttp import web

from .access import Account, Accounts


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end, 3 where the server cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m runwatch.stack.clickhouse",
        description="ClickHouse (chdb) behind ClickHouse's HTTP interface.",
        epilog="example: python -m runwatch.stack.clickhouse --path ./clickhouse --port 8123",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--path", type=Path, required=True, help="the folder for the data")
    parser.add_argument("--user", default="default", help="the user; its password is RUNWATCH_CLICKHOUSE_PASSWORD")
    parser.add_argument(
        "--reader", default="", help="a user who may only read --database; its password is RUNWATCH_SQL_PASSWORD"
    )
    usual = os.environ.get("RUNWATCH_DATABASE") or "runwatch"
    parser.add_argument("--database", default=usual, help=f"what that user may read (default: {usual})")
    parser.add_argument("--connections", type=int, default=8, help="statements that run at a time")
    parser.add_argument("--query-memory-mb", type=int, default=1024, help="what one statement may take, by default")
    parser.add_argument("--max-body-mb", type=int, default=1024, help="the largest request body, unpacked")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Not an option: other users of the machine can read a process's arguments.
    main_account = Account(options.user, os.environ.get("RUNWATCH_CLICKHOUSE_PASSWORD", ""))
    reader = Account(options.reader, os.environ.get("RUNWATCH_SQL_PASSWORD", "")) if options.reader else None
    try:
        asyncio.run(_serve(options, Accounts(main_account, reader)))
    except ImportError as error:
        print(f"The local ClickHouse needs chdb ({error}): pip install 'runwatch[stack]'", file=sys.stderr)
        return 3
    except (OSError, RuntimeError, ValueError) as error:
        print(f"ClickHouse cannot start on {options.host}:{options.port} with {options.path}: {error}", file=sys.stderr)
        return 3
    return 0


async def _serve(options: argparse.Namespace, accounts: Accounts) -> None:
    # chdb loads half a gigabyte of library: only where it is used.
    from .engine import Engine
    from .server import Front

    path = options.path.resolve()
    if (
        not ipaddress.ip_address(socket.getaddrinfo(options.host, None)[0][4][0]).is_loopback
        and not accounts.main.password
    ):
        logging.warning(
            "%s can be reached from other machines, and RUNWATCH_CLICKHOUSE_PASSWORD is not set", options.host
        )
    reading = options.database if accounts.reader is not None else None
    engine = Engine(path, options.query_memory_mb << 20, reading)
    front = Front(engine, path / "tmp", accounts, options.connections, options.max_body_mb << 20)
    runner = web.AppRunner(
        front.application(),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=10,
        read_bufsize=1 << 20,
        max_line_size=1 << 20,
        max_field_size=1 << 16,
    )
    await runner.setup()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        logging.info("ClickHouse %s serves %s on http://%s:%d", engine.version, path, options.host, options.port)
        await stopped.wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
    logging.info("closed")


if __name__ == "__main__":
    sys.exit(main())
