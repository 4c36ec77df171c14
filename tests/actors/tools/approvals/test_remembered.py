"""How long approvals hold."""

from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.sandbox.confinement import Grants


def test_a_command_is_remembered_as_it_is():
    remembered = Remembered()
    remembered.allow_command(["touch", "x"], "/w", "use_default")
    assert remembered.allows_command(("touch", "x"), "/w", "use_default")
    assert not remembered.allows_command(["touch", "y"], "/w", "use_default")
    assert not remembered.allows_command(["touch", "x"], "/v", "use_default")
    assert not remembered.allows_command(["touch", "x"], "/w", "require_escalated")


def test_a_patch_is_remembered_by_all_its_files():
    remembered = Remembered()
    remembered.allow_files(["/a", "/b"])
    assert remembered.allows_files(["/b"])
    assert not remembered.allows_files(["/b", "/c"])


def test_grants_add_up_and_those_of_a_turn_end_with_it():
    remembered = Remembered()
    remembered.grant(Grants({"/s": "read"}, network=False), "one", session=True)
    remembered.grant(Grants({"/t": "write"}, network=True), "one", session=False)
    remembered.grant(Grants({"/s": "write"}, network=False), "one", session=False)
    assert remembered.granted("one") == Grants({"/s": "write", "/t": "write"}, network=True)
    assert remembered.granted("two") == Grants({"/s": "read"}, network=False)
    remembered.grant(Grants({"/u": "read"}, network=False), "two", session=False)
    assert remembered.granted("two").entries == {"/s": "read", "/u": "read"}
