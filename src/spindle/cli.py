"""The command line: `spindle app-server`, with the options of `codex app-server`, and the smaller commands."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib import import_module

from spindle import ws_auth
from spindle.actors.signals import EndSignals
from spindle.storage.home_path import HomeError

TYPE_CHECKING = False  # typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from spindle.actors.services.telemetry import Exporting
    from spindle.storage.config.otel import OtelConfig

COLLECTING = 5_000, 5, 100
"""Thresholds of the cycle collector (`gc.set_threshold`). Reference counts free nearly everything, and a collection stops every
thread. The first two numbers keep the frequent collections short. The last number makes full collections rare."""

_SERVING = ("logging", "attrs", "ssl", "trio", "spindle.actors.daemon", "spindle.actors.runtime")
"""What is imported to serve. Some are parts of later ones, so that each step is short."""


_DAEMON = (
    *("start", "stop", "restart", "status", "version"),
    *("bootstrap", "update", "enable-remote-control", "disable-remote-control"),
)
"""What `app-server daemon` is asked for. Those of Codex that have nothing to do here are refused by name."""
_OFFERED = 5

_NOT_SERVED = {
    "cloud_skills_snapshot": "--cloud-skills-snapshot needs the vendor's cloud",
    "code_mode_host": "--code-mode-host is for code mode, which is not served",
}
"""Options of Codex that are refused by name."""


class _Version(argparse.Action):
    """Prints the version and exits. The version is looked up only here, because the look-up would slow each start."""

    def __call__(self, *_: object) -> NoReturn:
        """See argparse.Action."""
        import spindle

        print(f"spindle {spindle.__version__}")
        sys.exit(0)


def parser() -> argparse.ArgumentParser:
    """The options. -c, --enable and --disable are accepted before and after the command: wrappers write them in both places."""
    top = argparse.ArgumentParser(
        prog="spindle", description="Hosts agent threads and speaks the Codex app-server protocol."
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    _config_options(top, "before")
    _user_options(top, "before")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    server = commands.add_parser("app-server", help="serve clients on stdio, a WebSocket or a Unix socket")
    _config_options(server, "after")
    _user_options(server, "after")
    server.add_argument(
        "--print-startup-config", action="store_true", help="check the configuration and print the requirements as JSON"
    )
    server.add_argument(
        "--listen",
        metavar="URL",
        default="stdio://",
        help="stdio:// (default), unix:// (the control socket of the home), unix://PATH, ws://IP:PORT, off",
    )
    server.add_argument("--stdio", action="store_true", help="the same as --listen stdio://")
    server.add_argument(
        "--shared",
        action="store_true",
        help="relay stdio to the daemon that the clients of this home share; starts it if there is none",
    )
    server.add_argument(
        "--log-format", metavar="FORMAT", choices=("text", "json"), help="of the log on standard error: text (default), json"
    )
    ws_auth.add_options(server)
    server.add_argument("--serve-relays", metavar="HOME", help=argparse.SUPPRESS)
    for name in _NOT_SERVED:
        server.add_argument(f"--{name.replace('_', '-')}", help=argparse.SUPPRESS)
    server.add_argument("--analytics-default-enabled", action="store_true", help=argparse.SUPPRESS)
    _server_commands(server)
    overview = commands.add_parser("top", help="show the runtimes of a home, their threads, and who waits for whom")
    overview.add_argument("--once", action="store_true", help="print it once, as text")
    overview.add_argument("--json", action="store_true", help="print it once, as JSON")
    overview.add_argument("--home", metavar="PATH", help="the Codex home (default: $CODEX_HOME, or ~/.codex)")
    tail = commands.add_parser("tail", help="show the last turns of a thread, and follow it")
    tail.add_argument("thread", metavar="THREAD", help="its id, the beginning of the id, or its name")
    tail.add_argument("-n", metavar="TURNS", type=_count, default=3, dest="turns", help="the last turns to show first (3)")
    tail.add_argument("--json", action="store_true", help="print notifications of the protocol, one a line")
    tail.add_argument("--until-idle", action="store_true", help="end when no turn runs")
    tail.add_argument("--home", metavar="PATH", help="the Codex home (default: $CODEX_HOME, or ~/.codex)")
    commands.add_parser("index", help="update the index of the home's threads and show the progress")
    trust = commands.add_parser("trust", help="show what a project wants to run, and approve it")
    trust.add_argument(
        "path", metavar="PATH", nargs="?", default=".", help="a folder of the project (default: this one)"
    )
    trust.add_argument("--show", action="store_true", help="show it and approve nothing")
    commands.add_parser("demo", help="show the life of threads on the built-in offline model")
    about = commands.add_parser("help", help="show this help, or the help of a command")
    about.add_argument("about", metavar="COMMAND", nargs="?", choices=commands.choices)
    return top


def _server_commands(server: argparse.ArgumentParser) -> None:
    inner = server.add_subparsers(dest="inner", metavar="COMMAND")
    for name, what in (("generate-json-schema", "JSON Schema"), ("generate-ts", "TypeScript")):
        types = inner.add_parser(name, help=f"write the protocol's types as {what}")
        types.add_argument("-o", "--out", metavar="DIR", required=True, help="the folder to write to")
        types.add_argument("--experimental", action="store_true", help="with what needs the experimentalApi capability")
        if name == "generate-ts":
            types.add_argument("-p", "--prettier", metavar="BIN", help="the program that formats the files")
    proxy = inner.add_parser("proxy", help="copy stdio to and from the control socket of the home")
    proxy.add_argument("--sock", metavar="PATH", help="another Unix socket")
    daemon = inner.add_parser("daemon", help="start, stop or show the daemon that the clients of this home share")
    daemon.add_argument("action", metavar="ACTION", choices=_DAEMON, help=", ".join(_DAEMON[:_OFFERED]))
    for parser in inner.choices.values():
        _config_options(parser, "inner")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of turns")
    return int(text)


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


def _user_options(parser: argparse.ArgumentParser, where: str) -> None:
    parser.add_argument(
        "--strict-config",
        action="store_true",
        dest=f"strict_{where}",
        help="do not start with keys of config.toml that are not known",
    )
    parser.add_argument(
        "-p",
        "--profile",
        metavar="NAME",
        type=_profile,
        action="append",
        default=[],
        dest=f"profile_{where}",
        help="use the profile NAME.config.toml of the home, or [profiles.NAME]",
    )


def _profile(text: str) -> str:
    """The override that chooses a profile."""
    if not text.replace("-", "").replace("_", "").isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a profile")
    return f"profile={text!r}"


def _switched(options: argparse.Namespace) -> list[tuple[str, bool]]:
    """The features of --enable and --disable."""
    return [(name, on) for which, on in (("enable", True), ("disable", False)) for name in _given(options, which)]


def _given(options: argparse.Namespace, which: str) -> list[str]:
    """The values of an option, wherever in the line it was given. A profile is an override too."""
    if which == "config":
        return [*_given(options, "profile"), *_values(options, which)]
    return _values(options, which)


def _values(options: argparse.Namespace, which: str) -> list[str]:
    return [value for where in ("before", "after", "inner") for value in getattr(options, f"{which}_{where}", ())]


def overrides(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """The config overrides of a command line. Raises ValueError."""
    out: list[tuple[str, Any]] = []
    if texts := _given(options, "config"):
        from spindle.storage.overrides import parse_override

        out += map(parse_override, texts)
    return [*out, *((f"features.{feature}", on) for feature, on in _switched(options))]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 for success, 1 for a failure, 2 for bad usage.

    `spindle`, `spindle help` and `--help` exit with 0 and print the help on stdout: it is what was asked for, and can be
    piped. Bad usage prints to stderr.
    """
    options = parser().parse_args(argv)
    if options.command in (None, "help"):
        about = getattr(options, "about", None)
        parser().parse_args(["--help"] if about is None else [about, "--help"])
    strict = options.strict_before or getattr(options, "strict_after", False)
    if options.command == "app-server" and (strict or options.print_startup_config):
        from spindle.startup_config import check

        try:
            code = check(overrides(options), strict=strict, show=options.print_startup_config)
        except ValueError as error:
            code = _failed(error, 2)
        if code is not None:
            sys.exit(code)
    if options.command == "app-server" and options.inner is not None:
        sys.exit(_server_command(options))
    if options.command == "app-server" and options.shared:
        if options.listen != "stdio://":
            parser().error("--shared is for standard input and output, and --listen says otherwise")
        from spindle.relay import relay

        how = ["--log-format", options.log_format] if options.log_format else []
        sys.exit(relay(_given(options, "config"), _switched(options), how))
    if options.command == "app-server":
        sys.exit(app_server(options))
    from spindle.logs import start_logging

    start_logging()
    if options.command == "demo":
        from spindle.demo import main as demo

        sys.exit(demo())
    if options.command == "top":
        from spindle.top import main as show

        sys.exit(show(options.home, once=options.once, json=options.json))
    if options.command == "tail":
        from spindle.tail import main as follow

        sys.exit(
            follow(options.thread, options.home, turns=options.turns, json=options.json, until_idle=options.until_idle)
        )
    if options.command == "index":
        from spindle.index_command import main as index

        sys.exit(index())
    from spindle.trust_command import main as trust

    sys.exit(trust(options.path, only_show=options.show))


def _server_command(options: argparse.Namespace) -> int:
    """A command below `app-server`; returns the exit code."""
    if options.inner.startswith("generate-"):
        from spindle.schema_command import main as generate

        prettier = getattr(options, "prettier", None)
        return generate(options.inner, options.out, experimental=options.experimental, prettier=prettier)
    from spindle import relay

    config, features = _given(options, "config"), _switched(options)
    if options.inner == "daemon":
        from spindle.daemon_command import main as daemon

        return daemon(options.action, relay.passed_on(config, features))
    path = options.sock
    if path is None:
        import os

        from spindle.storage.home import Home

        try:
            path = str(Home.resolve(os.environ).control_socket)
        except (HomeError, OSError) as error:
            return _failed(error)
    return relay.proxy(path)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    from typing import cast

    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", inner))
        else:
            yield inner


def app_server(options: argparse.Namespace) -> int:
    """Serve until the client disconnects or a signal arrives; returns the exit code."""
    gc.disable()  # imports make no garbage; `serve` enables it
    signals = EndSignals()
    signals.catch()
    try:
        return _serve(options, signals) if options.serve_relays is None else _serve_relays(options, signals)
    finally:
        signals.ignore()


def _serve(options: argparse.Namespace, signals: EndSignals) -> int:
    for name, reason in _NOT_SERVED.items():
        if getattr(options, name) is not None:
            return _failed(reason)
    url = "stdio://" if options.stdio else options.listen
    listening = None
    try:
        config = overrides(options)
        if url not in ("stdio://", "off"):
            from spindle.rpc.transports.listen import parse_listen

            listening = parse_listen(url)
    except ValueError as error:
        return _failed(error, 2)
    admission = None
    try:
        ws_auth.check(options)
        if url == "off":
            return _failed("no transport configured; use --listen with stdio://, ws:// or unix://")
        if listening is not None and listening.kind == "websocket":
            if (scheme := ws_auth.scheme(options)) is not None:
                from spindle.rpc.transports.admission import bearer

                admission = bearer(scheme)
            elif listening.open_to_others:
                return _failed(
                    f"refusing to start non-loopback websocket listener {url.removeprefix('ws://')} without auth; "
                    f"configure `--ws-auth {ws_auth.CAPABILITY}` or `--ws-auth {ws_auth.SIGNED}`"
                )
    except ws_auth.AuthError as error:
        return _failed(error)
    from spindle.actors.first_answer import FirstAnswer

    first = FirstAnswer()
    if listening is None:
        for name in _SERVING:
            if first.attempt():
                break
            import_module(name)
    from spindle.logs import start_logging

    start_logging(form=options.log_format)

    async def serve() -> None:
        from spindle.actors.daemon import serve_listener, serve_stdio
        from spindle.actors.runtime import open_backend

        _keep_modules()
        async with open_backend(config=config, exporting=_exporting) as backend:
            if listening is None:
                await serve_stdio(backend, signals, first)
            else:
                await serve_listener(backend, listening, signals, admission)

    return _run(serve)


def _failed(reason: object, code: int = 1) -> int:
    print(f"spindle: {reason}", file=sys.stderr)
    return code


def _serve_relays(options: argparse.Namespace, signals: EndSignals) -> int:
    """Serve the relays of a home (`relay.py`); with `--listen unix://`, its control socket too, and until a signal."""
    import json

    from spindle.logs import start_logging
    from spindle.relay import LISTENER_FD, LOCK_FD
    from spindle.rpc.relay.hello import hello
    from spindle.shared_log import SharedLog
    from spindle.storage.shared_folder import shared_folder

    start_logging(SharedLog(shared_folder(options.serve_relays)), options.log_format)
    words = json.dumps(hello(_given(options, "config"), _switched(options)))
    try:
        config = overrides(options)
    except ValueError as error:
        return _failed(error, 2)

    async def serve() -> None:
        from spindle.actors.runtime import open_backend
        from spindle.actors.shared_daemon import serve_relays
        from spindle.rpc.relay.verdict import read_hello

        _keep_modules()
        home = options.serve_relays
        async with open_backend(home=home, cwd=home, config=config, exporting=_exporting) as backend:
            kept = options.listen == "unix://"
            await serve_relays(backend, signals, read_hello(words), LOCK_FD, LISTENER_FD, kept=kept)

    return _run(serve)


def _exporting(config: OtelConfig) -> Exporting | None:
    """The exporters of spans and metrics that the user's `[otel]` asks for; None without the packages."""
    try:
        from spindle.otel.exporting import OtlpExporting
    except ImportError as error:
        import logging

        logging.getLogger("spindle").warning("[otel] of config.toml has no effect: %s", error)
        return None
    return OtlpExporting(config)


def _keep_modules() -> None:
    """Take the imported modules, which stay, out of every collection."""
    gc.freeze()
    gc.set_threshold(*COLLECTING)
    gc.enable()


def _run(serve: Callable[[], Awaitable[None]]) -> int:
    import trio

    code = 0
    try:
        trio.run(serve)
    except* (HomeError, OSError) as group:
        code = 1
        for reason in _leaves(group):
            print(f"spindle: {reason}", file=sys.stderr)
    return code
