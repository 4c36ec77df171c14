"""The roles and nicknames of agents."""

from spindle.actors.tools.agents.roles import NICKNAMES, Role, nickname, roles
from spindle.storage.config import Config


def configured(**agents):
    raw = {"agents": agents}
    return Config(raw=raw, merged=raw, layers=[], cwd=None, trust=None)


def test_configured_roles_come_first_and_replace_ours():
    table = {"description": "Reads", "config_file": "r.toml", "nickname_candidates": ["Ann", "Bob"]}
    found = roles(configured(max_threads=3, reader=table, worker={}))
    assert list(found) == ["reader", "worker", "default", "explorer"]
    assert found["reader"] == Role(name="reader", description="Reads", config_file="r.toml", nicknames=("Ann", "Bob"))
    assert found["worker"].description == ""


def test_a_nickname_is_not_given_twice():
    taken: set[str] = set()
    for _ in NICKNAMES:
        taken.add(nickname(taken))
    assert taken == set(NICKNAMES)
    assert nickname(taken).endswith(" the 2nd")


def test_used_candidates_repeat_with_a_number():
    names: list[str] = []
    for _ in range(13):
        names.append(nickname(names, ["Ann"]))
    assert names[:4] == ["Ann", "Ann the 2nd", "Ann the 3rd", "Ann the 4th"]
    assert names[10:] == ["Ann the 11th", "Ann the 12th", "Ann the 13th"]
