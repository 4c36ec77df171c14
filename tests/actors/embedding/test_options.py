"""Options of threads and turns: unknown ones and wrong values are refused at the call, by name."""

from pathlib import Path

import attrs
import pytest

import spindle
from spindle import items
from spindle.actors.embedding.options import ForkOptions, ResumeOptions, StartOptions, TurnOptions
from spindle.rpc.protocol.settings import ReadOnlyPolicy
from spindle.rpc.protocol.threads import ThreadForkParams, ThreadResumeParams, ThreadStartParams
from spindle.rpc.protocol.turns import TurnStartParams

LEFT_OUT = {
    "input",  # an argument
    "thread_id",  # an argument, or the handle's
    "persist_extended_history",  # does nothing
    "mock_experimental_field",  # does nothing
    "service_name",  # does nothing
    "session_start_source",  # says which command of a terminal UI has asked
    "initial_turns_page",  # for clients that show pages
    "project_id",  # for clients that show projects
    *("client_user_message_id", "turn_trigger", "root_turn_id", "parent_turn_id"),  # what a client knows of its own message
    *("additional_context", "tool_output", "responsesapi_client_metadata_patch"),  # for clients that relay for others
}
"""Members of the protocol's parameters that are no options."""


@pytest.mark.parametrize(
    ("options", "params"),
    [
        (StartOptions, ThreadStartParams),
        (ResumeOptions, ThreadResumeParams),
        (ForkOptions, ThreadForkParams),
        (TurnOptions, TurnStartParams),
    ],
)
def test_the_options_are_the_members_of_the_protocol(options, params):
    members = set(attrs.fields_dict(params))
    assert options.__optional_keys__ <= members
    assert members - options.__optional_keys__ <= LEFT_OUT


async def test_a_misspelt_option_is_refused_at_the_call_with_the_right_one(opened):
    async with opened() as runtime:
        with pytest.raises(TypeError, match=r"there is no option 'modle'; did you mean 'model'?"):
            runtime.start_thread(modle="x")
        with pytest.raises(TypeError, match=r"there is no option 'xyz'$"):
            runtime.resume_thread("id", xyz=1)
        with pytest.raises(TypeError, match=r"there is no option 'effort'; it is an option of a turn$"):
            runtime.start_thread(effort="low")
        async with runtime.start_thread() as thread:
            with pytest.raises(TypeError, match=r"there is no option 'afford'"):
                await thread.run("hi", afford="low")
            assert (await thread.run("hi", effort="low")).text == "ok"


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("sandbox", "workspace_write", "`read-only`, `workspace-write`, `danger-full-access`"),
        ("approval_policy", "nevver", "`untrusted`, `on-failure`, `on-request`, `granular`, `never`"),
        ("personality", "grim", "`none`, `friendly`, `pragmatic`"),
        ("ephemeral", "yes", "a boolean"),
        ("model", 5, "a string"),
        ("config", [], "a map"),
        ("runtime_workspace_roots", ["relative"], "must be absolute paths, and `relative` is relative"),
        ("runtime_workspace_roots", 5, "a sequence"),
        ("tools", 5, "a list"),
        ("tools", len, "a list"),
        ("tools", "function", "a list"),
        ("on_question", 5, "an async function"),
    ],
)
async def test_a_wrong_value_is_named_with_what_is_allowed(opened, option, value, allowed):
    async with opened() as runtime:
        with pytest.raises(spindle.InvalidOption) as caught:
            runtime.start_thread(**{option: value})
        assert caught.value.option == option
        assert str(caught.value).startswith(f"{option}: ")
        assert allowed in caught.value.reason
        assert isinstance(caught.value, ValueError)


async def test_a_turns_wrong_value_fails_before_the_turn_starts(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.InvalidOption, match=r"effort: invalid type: integer `17`, expected a string: none"):
            thread.turn("hi", effort=17)
        assert (await thread.read()).status.type == "idle"
        assert not runtime._backend.registry.directory.turn_id(thread.id)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("model", "gpt-5", "a spindle.Model; the name `gpt-5` is the `model` of start_thread"),
        ("model", 5, "a spindle.Model, and 5 has no stream and no aclose"),
        ("cwd", "missing", "not a folder"),
        ("cwd", 5, "a path"),
        ("home", 5, "a path"),
        ("config", 5, "a list"),
        ("config", [("model",)], "(key, value) pairs"),
        ("config", {5: "x"}, "a mapping of dotted keys"),
        ("on_question", 5, "an async function"),
        ("source", 5, "a text"),
        ("function_threads", 0, "between 1 and"),
        ("function_threads", "x", "between 1 and"),
        ("instruments", spindle.Instrument(), "a list"),
        ("instruments", [spindle.Instrument], "instances of spindle.Instrument"),
    ],
)
async def test_a_wrong_value_of_a_runtime_is_named_before_it_opens(tmp_path, option, value, allowed):
    with pytest.raises(spindle.InvalidOption) as caught:
        async with spindle.open_runtime(**{"home": tmp_path / "home", option: value}):
            raise AssertionError("opened")
    assert caught.value.option == option
    assert allowed in caught.value.reason
    assert not (tmp_path / "home").exists()


async def test_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(spindle.HomeError, match=r"the home .*file/home cannot be used: Not a directory"):
        async with spindle.open_runtime(home=tmp_path / "file" / "home"):
            raise AssertionError("opened")


async def test_the_configuration_of_a_runtime_may_be_a_mapping(tmp_path):
    opening = spindle.open_runtime(
        home=tmp_path / "home", model=spindle.OfflineModel(), config={"sandbox_mode": "danger-full-access"}
    )
    async with opening as runtime, runtime.start_thread() as thread:
        assert thread.info.sandbox.type == "dangerFullAccess"


@pytest.mark.parametrize("content", [5, None, b"text", "\ud800", [5], {"type": "text", "text": "x"}, [{"type": "txt"}]])
async def test_input_that_is_none_is_refused_at_the_call(opened, content):
    async with opened() as runtime, runtime.start_thread() as thread:
        for use in (thread.run, thread.start_turn, thread.steer):
            with pytest.raises(spindle.InvalidOption, match=r"content: must be a "):
                await use(content)
        with pytest.raises(spindle.InvalidOption, match=r"content: must be a "):
            thread.turn(content)


async def test_input_may_be_what_json_has_in_its_place(opened, scripted):
    async with opened(scripted(["ok"])) as runtime, runtime.start_thread() as thread:
        result = await thread.run([{"type": "text", "text": "from JSON"}])
    assert [item.content for item in result.items if item.type == "userMessage"] == [[items.TextInput("from JSON")]]


async def test_an_output_schema_must_be_an_object(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.InvalidOption, match=r"output_schema: must be a JSON schema, not 7"):
            await thread.run("hi", output_schema=7)


async def test_a_configuration_that_is_refused_is_a_configuration_error(opened, tmp_path):
    async with opened() as runtime:
        for opening in (
            runtime.start_thread(config={"sandbox_mode": "bad"}),
            runtime.start_thread(model_provider="bad"),
        ):
            with pytest.raises(spindle.ConfigError, match="`bad`"):
                async with opening:
                    raise AssertionError("started")
        (runtime.home / "config.toml").write_text("model = = 3")
        with pytest.raises(spindle.ConfigError, match=r"config\.toml:1:9: invalid value"):
            async with runtime.start_thread():
                raise AssertionError("started")


async def test_a_number_of_turns_and_items_are_checked(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        for turns in (0, 1.5, "x"):
            with pytest.raises(spindle.InvalidOption, match="turns: must be a number between 1 and"):
                await thread.roll_back(turns)
        with pytest.raises(spindle.InvalidOption, match="items: must be a list, not 7"):
            await thread.inject(7)


async def test_the_id_of_a_thread_and_a_name_must_be_texts(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        for use in (runtime.archive_thread, runtime.unarchive_thread, runtime.delete_thread):
            with pytest.raises(spindle.InvalidOption, match="thread_id: must be a text, not 7"):
                await use(7)
        for opening in (runtime.resume_thread, runtime.fork_thread):
            with pytest.raises(spindle.InvalidOption, match="thread_id: must be a text, not None"):
                opening(None)
        with pytest.raises(spindle.InvalidOption, match="name: must be a text, not 7"):
            await thread.rename(7)
        with pytest.raises(spindle.InvalidOption, match="name: must be a text, not 7"):
            await runtime.rename_thread(thread.id, 7)


async def test_a_value_may_be_what_json_has_in_its_place(opened):
    async with opened() as runtime, runtime.start_thread(sandbox="danger-full-access") as thread:
        assert (await thread.run("hi", sandbox_policy={"type": "readOnly"})).text == "ok"
        async with runtime.resume_thread(thread.id) as again:
            assert type(again.info.sandbox) is ReadOnlyPolicy


async def test_a_working_directory_must_be_a_folder(opened, tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    async with opened() as runtime:
        for cwd in (tmp_path / "file", tmp_path / "missing", "missing"):
            with pytest.raises(spindle.InvalidOption, match=r"cwd: .* is not a folder"):
                async with runtime.start_thread(cwd=cwd):
                    raise AssertionError("started")
        async with runtime.start_thread(cwd="folder") as thread:  # relative to the runtime's
            assert thread.info.cwd == str(tmp_path / "folder")
            with pytest.raises(spindle.InvalidOption, match=r"cwd: .*missing` is not a folder"):
                async with thread.turn("hi", cwd=tmp_path / "missing"):
                    raise AssertionError("started")
            assert (await thread.run("hi", cwd=tmp_path)).text == "ok"
            assert (
                await thread.run("hi", cwd="folder")
            ).text == "ok"  # relative to the runtime's, too, not to the thread's


async def typed(runtime: spindle.Runtime) -> None:
    """Not run: type checkers refuse each line. An `ignore` that nothing needs is an error, too."""
    runtime.start_thread(modle="x")  # type: ignore[call-arg]
    runtime.start_thread(sandbox="workspace_write")  # type: ignore[arg-type]
    runtime.resume_thread("id", approval_policy="nevver")  # type: ignore[arg-type]
    runtime.fork_thread("id", personality="friendly")  # type: ignore[call-arg]
    async with runtime.start_thread() as thread:
        await thread.run("hi", effort=17)  # type: ignore[call-overload]
        thread.turn("hi", sandbox="read-only")  # type: ignore[call-arg]
        await thread.start_turn("hi", efort="low")  # type: ignore[call-arg]
