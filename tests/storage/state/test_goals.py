"""Goals: changes, and the charges of turns."""

import pytest
from attrs import evolve

from spindle.rpc.protocol.goals import ThreadGoal, ThreadGoalSetParams
from spindle.storage.state.database import open_database
from spindle.storage.state.goals import GoalError, StoredGoal, changed, clear_goal, get_goal, set_goal, spend, spent

GOAL = StoredGoal(ThreadGoal(thread_id="t", objective="o", status="active", created_at=1, updated_at=1))


def ask(**params):
    return ThreadGoalSetParams("t", **params)


def after(goal, tokens, milliseconds):
    found = spent(goal, tokens, milliseconds, 2)
    assert found is not None
    return found


def test_a_new_goal_is_active_and_unspent():
    goal = changed(None, ask(objective=" do it "), "t", 5).goal
    assert goal == ThreadGoal(thread_id="t", objective="do it", status="active", created_at=5, updated_at=5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"status": "paused"}, "cannot update goal for thread t: no goal exists"),
        ({"objective": " "}, "goal objective must not be empty"),
        ({"objective": "x" * 4001}, "goal objective must be at most 4000 characters"),
        ({"objective": "x", "token_budget": 0}, "goal budgets must be positive when provided"),
    ],
)
def test_refusals_say_why(params, message):
    with pytest.raises(GoalError) as caught:
        changed(None, ask(**params), "t", 1)
    assert str(caught.value) == message


def test_a_change_keeps_members_that_it_does_not_name():
    before = StoredGoal(evolve(GOAL.goal, token_budget=9, tokens_used=3, time_used_seconds=2), 2500)
    now = changed(before, ask(objective="p"), "t", 7)
    assert now == StoredGoal(evolve(before.goal, objective="p", updated_at=7), 2500)
    assert changed(before, ask(token_budget=None), "t", 7).goal.token_budget is None


def test_pausing_does_not_hide_a_used_up_budget():
    over = StoredGoal(evolve(GOAL.goal, status="budgetLimited"))
    assert changed(over, ask(status="paused"), "t", 1).goal.status == "budgetLimited"
    assert changed(over, ask(status="active", token_budget=10), "t", 1).goal.status == "active"


def test_only_an_active_goal_is_charged():
    assert spent(StoredGoal(evolve(GOAL.goal, status="paused")), 5, 5, 1) is None
    twice = after(after(GOAL, 5, 900), 5, 900)
    assert (twice.goal.tokens_used, twice.goal.time_used_seconds, twice.goal.status) == (10, 1, "active")


def test_the_budget_ends_it():
    goal = StoredGoal(evolve(GOAL.goal, token_budget=10))
    assert after(goal, 9, 0).goal.status == "active"
    assert after(goal, 10, 0).goal.status == "budgetLimited"
    assert (
        changed(StoredGoal(evolve(GOAL.goal, tokens_used=10)), ask(token_budget=5), "t", 1).goal.status
        == "budgetLimited"
    )


def test_goals_are_read_as_stored(tmp_path):
    db = open_database(tmp_path / "state.sqlite")
    goal = set_goal(db, ask(objective="o", token_budget=100), "t", 5)
    assert get_goal(db, "t") == StoredGoal(goal)
    now = spend(db, "t", 7, 1500, 9)
    assert now is not None
    assert get_goal(db, "t") == StoredGoal(now, 1500)
    assert spend(db, "other", 7, 1500, 9) is None
    assert clear_goal(db, "t")
    assert not clear_goal(db, "t")
    assert get_goal(db, "t") is None
    db.close()
