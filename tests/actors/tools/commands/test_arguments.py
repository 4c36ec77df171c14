"""Arguments of the model, and answers to it."""

import errno

import attrs
import pytest

from spindle.actors.tools.commands.arguments import (
    ExecCommand,
    Shell,
    ShellCommand,
    WriteStdin,
    exec_failure,
    os_failure,
    output_limit,
    working_directory,
    write_failure,
)
from spindle.actors.tools.commands.offered import EXEC_COMMAND, SHELL, WRITE_STDIN
from spindle.actors.tools.commands.sessions import UnknownSession
from spindle.actors.tools.interface import Call, ToolRefused
from spindle.actors.tools.truncation import DEFAULT_LIMIT, Limit


def parsed(text, cls):
    return Call(id="c", name="tool", payload=text).arguments(cls)


def test_arguments_are_read_and_what_is_missing_has_a_default():
    assert parsed('{"cmd": "ls", "surplus": 1}', ExecCommand) == ExecCommand(cmd="ls")
    assert parsed(
        '{"cmd":"x","workdir":"w","shell":"sh","login":false,"tty":true,"yield_time_ms":5,"max_output_tokens":6,'
        '"sandbox_permissions":"require_escalated","justification":"j","prefix_rule":["x"]}',
        ExecCommand,
    ) == ExecCommand(
        cmd="x",
        workdir="w",
        shell="sh",
        login=False,
        tty=True,
        yield_time_ms=5,
        max_output_tokens=6,
        sandbox_permissions="require_escalated",
        justification="j",
        prefix_rule=("x",),
    )
    assert parsed('{"session_id": 7, "chars": "\\u0003"}', WriteStdin) == WriteStdin(
        session_id=7, chars="\x03"
    )
    assert parsed('{"command": ["ls"], "timeout_ms": 9}', Shell) == Shell(command=("ls",), timeout_ms=9)
    assert parsed('{"command": "ls", "login": false}', ShellCommand) == ShellCommand(command="ls", login=False)


@pytest.mark.parametrize(
    ("text", "cls", "message"),
    [
        ("{}", ExecCommand, "missing field `cmd`"),
        ("{", ExecCommand, "failed to parse function arguments: "),
        ("[" * 100_000, ExecCommand, "failed to parse function arguments: "),
        ('{"session_id": "7"}', WriteStdin, 'invalid type: string "7", expected i32'),
        ('{"cmd": "x", "yield_time_ms": -1}', ExecCommand, "invalid value: integer `-1`, expected usize"),
        (
            '{"cmd": "x", "sandbox_permissions": "bogus"}',
            ExecCommand,
            "unknown variant `bogus`, expected one of `use_default`",
        ),
        ('{"command": "ls"}', Shell, 'invalid type: string "ls", expected a sequence'),
    ],
)
def test_an_invalid_member_is_named(text, cls, message):
    with pytest.raises(ToolRefused) as caught:
        parsed(text, cls)
    assert str(caught.value).startswith("failed to parse function arguments: ")
    assert message in str(caught.value)


def test_limits_directories_and_failures():
    assert output_limit(None) == DEFAULT_LIMIT
    assert output_limit(5) == Limit(5)
    assert [working_directory("/w", given) for given in (None, "", "a/../b", "/x")] == ["/w", "/w", "/w/b", "/x"]
    failure = os_failure(OSError(errno.ENOENT, "whatever"))
    assert exec_failure(["/bin/bash", "-c", "a b"], failure) == (
        "exec_command failed for `/bin/bash -c 'a b'`: No such file or directory (os error 2)"
    )
    assert os_failure(OSError("plain")) == "plain"
    assert write_failure(UnknownSession("7")) == "write_stdin failed: Unknown process id 7"


@pytest.mark.parametrize(("tool", "cls"), [(EXEC_COMMAND, ExecCommand), (WRITE_STDIN, WriteStdin), (SHELL, Shell)])
def test_the_offer_has_the_members_that_are_read(tool, cls):
    parameters = tool["parameters"]
    assert set(parameters["properties"]) == {attribute.name for attribute in attrs.fields(cls)}
    needed = {attribute.name for attribute in attrs.fields(cls) if attribute.default is attrs.NOTHING}
    assert set(parameters["required"]) == needed
    assert all(schema["description"] for schema in parameters["properties"].values())
