"""The options of authorization: which combinations are accepted, and how the others are refused."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pytest

from spindle import ws_auth
from spindle.cli import main
from spindle.rpc.transports.admission import CapabilityToken
from spindle.rpc.transports.signed_token import SignedToken

DIGEST = "a" * 64
SECRET = "0123456789abcdef0123456789abcdef"
CAPABILITY, SIGNED = "--ws-auth capability-token", "--ws-auth signed-bearer-token"
NEED_MODE = "websocket auth flags require `--ws-auth capability-token` or `--ws-auth signed-bearer-token`"
NEED_SIGNED = "`--ws-max-clock-skew-seconds` require `--ws-auth signed-bearer-token`"
NEED_CAPABILITY = "`--ws-token-file` and `--ws-token-sha256` require `--ws-auth capability-token`, not `signed-bearer-token`"
NO_DIGEST = "--ws-token-sha256 must be a 64-character hex SHA-256 digest"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    contents = {"token": "secret-token\n", "secret": f"{SECRET}\n", "empty": " \n", "short": f"{SECRET[1:]}\n\n"}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    (tmp_path / "long").write_bytes(b"x" * (ws_auth.LONGEST + 1))
    return tmp_path


def options(line: str, files: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ws_auth.add_options(parser)
    return parser.parse_args(line.format(files=files).split())


def scheme(line: str, files: Path) -> object:
    given = options(line, files)
    ws_auth.check(given)
    return ws_auth.scheme(given)


def test_what_is_accepted(files: Path) -> None:
    token = CapabilityToken(hashlib.sha256(b"secret-token").digest())
    secret = SECRET.encode()
    assert scheme("", files) is None
    assert scheme(f"{CAPABILITY} --ws-token-file {{files}}/token", files) == token
    assert scheme(f"{CAPABILITY} --ws-token-sha256 {token.digest.hex().upper()}", files) == token
    signed = f"{SIGNED} --ws-shared-secret-file {{files}}/secret"
    assert scheme(signed, files) == SignedToken(secret, None, None, 30)
    assert scheme(f"{signed} --ws-issuer= --ws-audience=", files) == SignedToken(secret, None, None, 30)
    every = f"{signed} --ws-issuer me --ws-audience you --ws-max-clock-skew-seconds 0"
    assert scheme(every, files) == SignedToken(secret, "me", "you", 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--ws-token-file {files}/token", NEED_MODE),
        (f"--ws-token-sha256 {DIGEST}", NEED_MODE),
        ("--ws-shared-secret-file {files}/secret", NEED_MODE),
        ("--ws-issuer x", NEED_MODE),
        ("--ws-audience=", NEED_MODE),
        ("--ws-max-clock-skew-seconds 0", NEED_MODE),
        (CAPABILITY, "`--ws-token-file` or `--ws-token-sha256` is required"),
        (f"{CAPABILITY} --ws-token-file {{files}}/token --ws-token-sha256 {DIGEST}", "are mutually exclusive"),
        (f"{CAPABILITY} --ws-token-file {{files}}/token --ws-shared-secret-file x", NEED_SIGNED),
        (f"{CAPABILITY} --ws-token-file {{files}}/token --ws-issuer x", NEED_SIGNED),
        (f"{CAPABILITY} --ws-token-file {{files}}/token --ws-audience x", NEED_SIGNED),
        (f"{CAPABILITY} --ws-token-file {{files}}/token --ws-max-clock-skew-seconds 3", NEED_SIGNED),
        *((f"{CAPABILITY} --ws-token-sha256={text}", NO_DIGEST) for text in ("", "zz", DIGEST[1:], "g" * 64, DIGEST + "a")),
        (SIGNED, "`--ws-shared-secret-file` is required"),
        (f"{SIGNED} --ws-shared-secret-file x --ws-token-file x", NEED_CAPABILITY),
        (f"{SIGNED} --ws-shared-secret-file x --ws-token-sha256 {DIGEST}", NEED_CAPABILITY),
    ],
)
def test_combinations_that_are_refused_before_a_file_is_read(line: str, reason: str, files: Path) -> None:
    with pytest.raises(ws_auth.AuthError) as refused:
        ws_auth.check(options(line, files))
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing", "failed to read websocket auth secret {path}: No such file or directory"),
        ("", "failed to read websocket auth secret {path}: Is a directory"),
        ("binary", "failed to read websocket auth secret {path}: not valid UTF-8"),
        ("empty", "websocket auth secret {path} must not be empty"),
        ("long", "websocket auth secret {path} must not be longer than 65536 bytes"),
        ("short", "signed websocket bearer secret {path} must be at least 32 bytes"),
    ],
)
def test_files_that_are_refused(name: str, reason: str, files: Path) -> None:
    lines = [f"{SIGNED} --ws-shared-secret-file {{files}}/{name}"]
    if name != "short":
        lines.append(f"{CAPABILITY} --ws-token-file {{files}}/{name}")
    for line in lines:
        with pytest.raises(ws_auth.AuthError) as refused:
            scheme(line, files)
        assert str(refused.value) == reason.format(path=f"{files}/{name}")


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "", "٣", str(2**64), "9" * 5000])
def test_what_is_no_number_of_seconds_is_bad_usage(text: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        options(f"{SIGNED} --ws-shared-secret-file x --ws-max-clock-skew-seconds={text}", files)
    assert exited.value.code == 2
    assert "--ws-max-clock-skew-seconds" in capsys.readouterr().err


def test_a_skew_beyond_every_clock(files: Path) -> None:
    with pytest.raises(ws_auth.AuthError, match="must fit in a signed 64-bit integer"):
        scheme(f"{SIGNED} --ws-shared-secret-file {{files}}/secret --ws-max-clock-skew-seconds {2**63}", files)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"])
def test_other_machines_need_a_token(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["app-server", "--listen", f"ws://{address}"])
    assert exited.value.code == 1
    assert f"refusing to start non-loopback websocket listener {address} without auth" in capsys.readouterr().err


@pytest.mark.parametrize("listen", ["stdio://", "off", "unix://s", "ws://127.0.0.1:0"])
def test_the_options_are_checked_whatever_is_served(listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["app-server", "--listen", listen, "--ws-auth", "capability-token"])
    assert exited.value.code == 1
    assert "is required when `--ws-auth capability-token` is set" in capsys.readouterr().err
