"""`/etc/codex/requirements.toml`: the administrator's requirements for all configurations (Codex 0.124).

allowed_sandbox_modes = ["read-only", "workspace-write"] allowed_approval_policies = ["untrusted", "on-request"]
allowed_web_search_modes = ["cached"] [features] shell_tool = false [mcp_servers.docs.identity] command = "docs-server"

An unsupported requirement is an error, and no thread starts, because the administrator relies on it. Only requirements
on things that do not exist here (`VACUOUS`) are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.config_error import ConfigError, describe

SANDBOX_MODES: Final = ("read-only", "workspace-write", "danger-full-access", "external-sandbox")
APPROVALS: Final = ("untrusted", "on-failure", "on-request", "never")
REVIEWERS: Final = ("user", "auto_review", "guardian_subagent")
WEB_SEARCH_MODES: Final = ("disabled", "cached", "live")
_GRANULAR: Final = ("sandbox_approval", "rules", "skill_approval", "request_permissions", "mcp_elicitations")

VACUOUS: Final = frozenset(
    (
        "allow_appshots",
        "allow_browser_and_computer_use",
        "allow_remote_control",
        "apps",
        "auto_review",
        "browser_use",
        "check_for_update_on_startup",
        "computer_use",
        "feedback",
        "guardian_extra_policy",
        "guardian_policy_config",
        "in_app_browser",
        "windows",
    )
)
"""Requirements on apps, browsers, reviewers and updates, which Spindle does not have."""


@frozen(kw_only=True)
class Requirements:
    """The allowed values; None if there is no requirement. `source` is the file."""

    source: Path | None = None
    approval_policies: Sequence[str | Mapping[str, Any]] | None = None
    sandbox_modes: Sequence[str] | None = None
    reviewers: Sequence[str] | None = None
    web_search_modes: Sequence[str] | None = None
    features: Mapping[str, bool] = field(factory=dict[str, bool])
    mcp_servers: Mapping[str, Mapping[str, str]] | None = None
    """The servers that may run: name -> the required `command` or `url`."""
    allow_login_shell: bool | None = None

    def allows_server(self, name: str, command: str | None, url: str | None) -> bool:
        """Whether an MCP server with this name and this command or URL is allowed."""
        if self.mcp_servers is None:
            return True
        identity = self.mcp_servers.get(name)
        return identity is not None and identity in ({"command": command}, {"url": url})

    def read(self) -> Mapping[str, Any] | None:
        """The member `requirements` of `configRequirements/read`; None if there is no requirement to show."""
        shown: dict[str, Any] = {
            "allowedApprovalPolicies": self.approval_policies,
            "allowedApprovalsReviewers": self.reviewers,
            "allowedSandboxModes": self.sandbox_modes
            and [mode for mode in self.sandbox_modes if mode != "external-sandbox"],
            "allowedWebSearchModes": self.web_search_modes,
            "featureRequirements": self.features or None,
            "hooks": None,
            "enforceResidency": None,
            "network": None,
            "allowLoginShell": self.allow_login_shell,
        }
        return shown if any(value is not None for value in shown.values()) else None


NOTHING: Final = Requirements()


class _Fault(Exception):
    """The fault of a key's value."""


def requirements(
    path: Path, table: Mapping[str, Any], place: Callable[[tuple[str, ...]], tuple[int, int] | None]
) -> Requirements:
    """The requirements in the parsed file; `place` finds a key in it. Raises ConfigError, also for unsupported requirements."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        try:
            if key in _SERVED:
                name, read = _SERVED[key]
                found[name] = read(value)
            elif key not in VACUOUS:
                raise _Fault("this requirement is not supported, so no thread can keep to it")
        except _Fault as fault:
            raise ConfigError(f"`{key}`: {fault}", path, *(place((key,)) or ())) from None
    return Requirements(source=path, **found) if found else NOTHING


def _words(*known: str) -> Callable[[object], Sequence[str]]:
    def read(value: object) -> Sequence[str]:
        words = _list(value)
        for word in words:
            if word not in known:
                raise _Fault(f"unknown variant `{word}`, expected one of {', '.join(f'`{one}`' for one in known)}")
        return cast("list[str]", words)

    return read


def _sandbox_modes(value: object) -> Sequence[str]:
    modes = _words(*SANDBOX_MODES)(value)
    if "read-only" not in modes:
        raise _Fault("must include `read-only`, which everything falls back to")
    return modes


def _approvals(value: object) -> Sequence[str | Mapping[str, Any]]:
    policies = _list(value)
    if not policies:
        raise _Fault("cannot be empty")
    return [_policy(policy) for policy in policies]


def _policy(policy: object) -> str | Mapping[str, Any]:
    if not isinstance(policy, dict):
        return _words(*APPROVALS)([policy])[0]
    given: object = _table(cast(object, policy)).get("granular")
    switches = mapping(given)
    if given is None or any(not isinstance(switches.get(name, False), bool) for name in _GRANULAR):
        raise _Fault("unknown approval policy, expected a `granular` one")
    return {"granular": {name: switches.get(name, False) for name in _GRANULAR}}


def _web_search(value: object) -> Sequence[str]:
    modes = _words(*WEB_SEARCH_MODES)(value)
    return modes if "disabled" in modes else [*modes, "disabled"]


def _features(value: object) -> Mapping[str, bool]:
    table = _table(value)
    for name, switch in table.items():
        if not isinstance(switch, bool):
            raise _Fault(f"{name}: invalid type: {describe(switch)}, expected a boolean")
    return cast("dict[str, bool]", table)


def _servers(value: object) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for name, demanded in _table(value).items():
        identity = _table(demanded).get("identity")
        match identity:
            case {"command": str(given)} | {"url": str(given)} if len(_table(identity)) == 1:
                found[name] = {next(iter(_table(identity))): given}
            case _:
                raise _Fault(f"{name}: expected an `identity` with a `command` or a `url`")
    return found


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Fault(f"invalid type: {describe(value)}, expected a boolean")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _Fault(f"invalid type: {describe(value)}, expected a sequence")
    return cast("list[object]", value)


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _Fault(f"invalid type: {describe(value)}, expected a map")
    return cast("dict[str, object]", value)


_SERVED: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "allowed_approval_policies": ("approval_policies", _approvals),
    "allowed_approvals_reviewers": ("reviewers", _words(*REVIEWERS)),
    "allowed_sandbox_modes": ("sandbox_modes", _sandbox_modes),
    "allowed_web_search_modes": ("web_search_modes", _web_search),
    "features": ("features", _features),
    "feature_requirements": ("features", _features),
    "mcp_servers": ("mcp_servers", _servers),
    "allow_login_shell": ("allow_login_shell", _switch),
}
"""Key -> the member of `Requirements`, and the reader of its value."""
