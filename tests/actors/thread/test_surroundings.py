"""Which parts of the surroundings the model is sent, as config.toml says."""

import pytest

from spindle.storage.config import ConfigError

SKILL = "---\nname: greet\ndescription: Says hello.\n---\nSay hello.\n"
PERMISSIONS, SKILLS, ENVIRONMENT = "<permissions instructions>", "<skills_instructions>", "<environment_context>"


@pytest.fixture
def request_texts(opened, scripted, tmp_path):
    """request_texts(config, turns) -> the texts of each request of a thread in a home with a skill"""
    folder = tmp_path / "home" / "skills" / "greet"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)

    async def run(config, **later):
        model = scripted()
        async with opened(model) as runtime, runtime.start_thread(config=config) as thread:
            await thread.run("go")
            if later:
                await thread.run("on", **later)
        return [[text.strip() for text in texts] for texts in model.texts]

    return run


def marks(texts):
    return {mark for mark in (PERMISSIONS, SKILLS, ENVIRONMENT) if any(text.startswith(mark) for text in texts)}


@pytest.mark.parametrize(
    ("config", "left_out"),
    [
        ({}, set()),
        ({"include_permissions_instructions": False}, {PERMISSIONS}),
        ({"include_environment_context": False}, {ENVIRONMENT}),
        ({"skills.include_instructions": False}, {SKILLS}),
    ],
)
async def test_a_part_of_the_surroundings_is_left_out(request_texts, config, left_out):
    [texts] = await request_texts(config)
    assert marks(texts) == {PERMISSIONS, SKILLS, ENVIRONMENT} - left_out


async def test_without_all_parts_the_model_gets_only_the_input(request_texts):
    config = ("include_permissions_instructions", "include_environment_context", "skills.include_instructions")
    assert await request_texts(dict.fromkeys(config, False)) == [["go"]]


async def test_a_part_that_is_left_out_is_not_sent_when_it_changes(request_texts):
    left_out = {"include_permissions_instructions": False, "include_environment_context": False}
    _, texts = await request_texts(left_out, approval_policy="never", cwd="/")
    assert marks(texts) == {SKILLS}
    _, texts = await request_texts({}, approval_policy="never", cwd="/")
    assert [text.startswith((PERMISSIONS, ENVIRONMENT)) for text in texts[-3:]] == [True, True, False]


async def test_instructions_come_from_the_configured_file(opened, scripted, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "base.md").write_text("\nFrom the file.\n")
    (home / "config.toml").write_text('model_instructions_file = "base.md"\ninstructions = "Inline."\n')
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("go")
        async with runtime.start_thread(base_instructions="Asked for.") as thread:
            await thread.run("go")
        (home / "base.md").write_text("Changed.")
        async with runtime.start_thread() as thread:
            await thread.run("go")
    assert [request.instructions for request in model.requests] == ["From the file.", "Asked for.", "Changed."]


async def test_a_compaction_uses_the_prompt_of_the_configured_file(opened, scripted, tmp_path):
    (tmp_path / "prompt.md").write_text(" Sum it up. \n")
    config = {"experimental_compact_prompt_file": str(tmp_path / "prompt.md")}
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread(config=config) as thread:
        await thread.run("go")
        await thread.compact()
    assert model.texts[-1][-1] == "Sum it up."


@pytest.mark.parametrize("key", ["model_instructions_file", "experimental_compact_prompt_file"])
@pytest.mark.parametrize(
    ("content", "fault"), [(None, "failed to read"), (" \n", "is empty"), ("x" * 2_000_000, "larger than")]
)
async def test_a_thread_does_not_start_with_an_unusable_prompt_file(opened, tmp_path, key, content, fault):
    if content is not None:
        (tmp_path / "named").write_text(content)
    async with opened() as runtime:
        with pytest.raises(ConfigError, match=f"file.* {fault}|{fault}.* file"):
            async with runtime.start_thread(config={key: str(tmp_path / "named")}):
                pass
