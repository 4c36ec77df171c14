"""The command line: `spindle app-server`, with the options of `codex app-server`, and the smaller commands."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from spindle.actors.signals import EndSignals

COLLECTING = 5_000, 5, 100
"""How often cycles are looked for. What we make is freed by its counts, and a collection holds up every thread: the first two
numbers keep the frequent ones short, the last one makes the long ones rare."""

_LOGGED = 64 * 1024
"""Characters of a message in the log at most."""


def parser() -> argparse.ArgumentParser:
    """The options; -c, --enable and --disable are accepted before and after the subcommand, as wrappers write them."""
    top = argparse.ArgumentParser(
        prog="spindle", description="Hosts agent threads; speaks the Codex app-server protocol."
    )
    _config_options(top, "before")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    server = commands.add_parser("app-server", help="serve clients on stdio, a WebSocket or a Unix socket")
    _config_options(server, "after")
    server.add_argument(
        "--listen",
        metavar="URL",
        default="stdio://",
        help="stdio:// (default), ws://IP:PORT (loopback), unix://PATH, off",
    )
    server.add_argument("--stdio", action="store_true", help="the same as --listen stdio://")
    server.add_argument("--analytics-default-enabled", action="store_true", help=argparse.SUPPRESS)
    commands.add_parser("index", help="bring the index of the home's threads up to date, and show how far it is")
    trust = commands.add_parser("trust", help="show what a project wants to run, and approve it")
    trust.add_argument("path", metavar="PATH", nargs="?", default=".", help="a folder of the project (default: this one)")
    trust.add_argument("--show", action="store_true", help="only show it")
    commands.add_parser("demo", help="show the life of threads on the built-in offline model")
    return top


def _config_options(parser: argparse.ArgumentParser, where: str) -> None:
    add = parser.add_argument
    add(
        "-c",
        "--config",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest=f"config_{where}",
        help="override a key of config.toml",
    )
    add(
        "--enable",
        metavar="FEATURE",
        action="append",
        default=[],
        dest=f"enable_{where}",
        help="the same as -c features.FEATURE=true",
    )
    add(
        "--disable",
        metavar="FEATURE",
        action="append",
        default=[],
        dest=f"disable_{where}",
        help="the same as -c features.FEATURE=false",
    )


def overrides(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """The config overrides of a command line. Raises ValueError."""
    from spindle.storage.config.toml import parse_override

    out = [parse_override(text) for text in (*options.config_before, *options.config_after)]
    for name, value in (("enable", True), ("disable", False)):
        features = (*getattr(options, f"{name}_before"), *getattr(options, f"{name}_after"))
        out.extend((f"features.{feature}", value) for feature in features)
    return out


class LogFormat(logging.Formatter):
    """One line for each message, whatever is in it: servers, files and models have a part in what is logged."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        from spindle.rpc.protocol.values import one_line

        return one_line(super().formatMessage(record), _LOGGED)

    def formatException(self, ei: Any) -> str:
        """See logging.Formatter; a traceback keeps its lines."""
        from spindle.rpc.protocol.values import readable

        return readable(super().formatException(ei), _LOGGED)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code: 0, 1 when it cannot serve, 2 for bad usage."""
    options = parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormat("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=os.environ.get("SPINDLE_LOG", "WARNING").upper())
    for name in ("httpx", "httpcore"):  # they log URLs and headers as they are, keys among them
        logging.getLogger(name).setLevel(logging.WARNING)
    if options.command == "demo":
        from spindle.demo import main as demo

        sys.exit(demo())
    if options.command == "index":
        from spindle.indexing import main as index

        sys.exit(index())
    if options.command == "trust":
        from spindle.trusting import main as trust

        sys.exit(trust(options.path, only_show=options.show))
    sys.exit(app_server(options))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", inner))
        else:
            yield inner


def app_server(options: argparse.Namespace) -> int:
    """Serve until the client leaves or a signal arrives."""
    signals = EndSignals()
    signals.catch()
    try:
        return _serve(options, signals)
    finally:
        signals.ignore()


def _serve(options: argparse.Namespace, signals: EndSignals) -> int:
    import trio

    from spindle.storage.home import HomeError

    url = "stdio://" if options.stdio else options.listen
    if url == "off":
        print("no transport configured; use --listen with stdio://, ws:// or unix://", file=sys.stderr)
        return 1
    try:
        config = overrides(options)
        if url != "stdio://":
            from spindle.rpc.transports.listen import parse_listen

            parse_listen(url)
    except ValueError as error:
        print(f"spindle: {error}", file=sys.stderr)
        return 2

    async def serve() -> None:
        from spindle.actors.daemon import serve_listener, serve_stdio
        from spindle.actors.runtime import open_runtime

        # what is imported by now stays: keep the collector from walking it again and again
        gc.freeze()
        gc.set_threshold(*COLLECTING)
        async with open_runtime(config=config) as runtime:
            await (
                serve_stdio(runtime, signals) if url == "stdio://" else serve_listener(runtime, url, signals)
            )

    code = 0
    try:
        trio.run(serve)
    except* (HomeError, OSError) as group:
        code = 1
        for reason in _leaves(group):
            print(f"spindle: {reason}", file=sys.stderr)
    return code
