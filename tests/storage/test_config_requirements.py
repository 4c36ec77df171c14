"""The administrator's requirements: supported ones are enforced, others are errors."""

import pytest

from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.home import Home

GRANULAR = {
    "granular": {
        "sandbox_approval": True,
        "rules": True,
        "skill_approval": False,
        "request_permissions": False,
        "mcp_elicitations": True,
    }
}


@pytest.fixture
def demanding(tmp_path):
    """demanding(requirements, config) -> the loader of a home with these files"""

    def load(text, config=""):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc" / "requirements.toml").write_text(text)
        (tmp_path / "config.toml").write_text(config)
        return ConfigLoader(Home(tmp_path), system_file=tmp_path / "etc" / "config.toml")

    return load


def test_without_a_file_there_are_no_requirements(tmp_path):
    config = ConfigLoader(Home(tmp_path), system_file=tmp_path / "etc" / "config.toml").load()
    assert config.requirements.read() is None


def test_requirements_have_the_protocols_form(demanding):
    loader = demanding(
        'allowed_sandbox_modes = ["read-only", "external-sandbox"]\nallowed_web_search_modes = ["cached"]\n'
        'allowed_approval_policies = ["on-request", {granular = {sandbox_approval = true, rules = true, '
        'mcp_elicitations = true}}]\nallowed_approvals_reviewers = ["user"]\nallow_login_shell = false\n'
        "[features]\nshell_tool = false\n"
    )
    assert loader.load().requirements.read() == {
        "allowedApprovalPolicies": ["on-request", GRANULAR],
        "allowedApprovalsReviewers": ["user"],
        "allowedSandboxModes": ["read-only"],
        "allowedWebSearchModes": ["cached", "disabled"],
        "featureRequirements": {"shell_tool": False},
        "hooks": None,
        "enforceResidency": None,
        "network": None,
        "allowLoginShell": False,
    }


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ('enforce_residency = "us"', 1, "`enforce_residency`: this requirement is not supported"),
        ('\nallowed_sandbox_mode = ["read-only"]', 2, "`allowed_sandbox_mode`: this requirement is not supported"),
        ("[rules]\nprefix_rules = []", 1, "`rules`: this requirement is not supported"),
        ('allowed_sandbox_modes = ["workspace-write"]', 1, "must include `read-only`"),
        ('allowed_sandbox_modes = ["read-only", "bogus"]', 1, "unknown variant `bogus`"),
        ("allowed_sandbox_modes = 1", 1, "invalid type: integer `1`, expected a sequence"),
        ("allowed_approval_policies = []", 1, "cannot be empty"),
        ("allowed_approval_policies = [{other = 1}]", 1, "unknown approval policy"),
        ("allow_login_shell = 1", 1, "expected a boolean"),
        ("[features]\nshell_tool = 1", 1, "shell_tool: invalid type"),
        ('[mcp_servers.docs]\ncommand = "x"', 1, "docs: expected an `identity`"),
        ("broken = [", 1, ""),
    ],
)
def test_an_unsupported_requirement_fails_with_its_place(demanding, tmp_path, text, line, fault):
    with pytest.raises(ConfigError) as caught:
        demanding(text).load()
    assert caught.value.path == tmp_path / "etc" / "requirements.toml"
    assert fault in str(caught.value)
    assert caught.value.line == line


def test_requirements_on_missing_features_are_always_met(demanding):
    assert demanding("allow_remote_control = false\n[apps.mail]\nenabled = false\n").load().requirements.read() is None


@pytest.mark.parametrize(
    ("demand", "config", "mode"),
    [
        ('["cached"]', "", "cached"),
        ('["cached"]', 'web_search = "live"', "disabled"),
        ("[]", "", "disabled"),
        ('["live"]', 'web_search = "live"', "live"),
    ],
)
def test_web_search_is_limited_to_the_allowed_modes(demanding, demand, config, mode):
    assert demanding(f"allowed_web_search_modes = {demand}", config).load().web_search == mode


def test_a_required_feature_has_precedence_over_the_configured_one(demanding):
    config = demanding("[features]\ncollab = false\nx = true", "[features]\nmulti_agent = true\nx = false").load()
    assert (config.features("multi_agent", True), config.features("x", False)) == (False, True)


def test_a_login_shell_may_be_forbidden(demanding):
    assert demanding("allow_login_shell = false", "allow_login_shell = true").load().allow_login_shell is False
    assert demanding("allow_login_shell = true", "allow_login_shell = false").load().allow_login_shell is False


def test_servers_that_are_not_listed_are_disabled(demanding):
    listed = '[mcp_servers.a.identity]\ncommand = "a"\n[mcp_servers.c.identity]\nurl = "http://c"\n'
    servers = (
        demanding(
            listed,
            '[mcp_servers.a]\ncommand = "a"\n[mcp_servers.b]\ncommand = "a"\n[mcp_servers.c]\nurl = "http://d"\n',
        )
        .load()
        .mcp_servers()
    )
    assert {name: server.enabled for name, server in servers.items()} == {"a": True, "b": False, "c": False}


def test_the_older_form_of_requirements_is_an_error(demanding, tmp_path):
    loader = demanding("")
    (tmp_path / "etc" / "managed_config.toml").write_text('sandbox_mode = "read-only"')
    with pytest.raises(ConfigError, match=r"managed_config\.toml: this older form"):
        loader.load()
