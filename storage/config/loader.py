"""Load settings from files. A file is parsed again only after a change."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.checking import faults
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.effective import Config, Scope, feature
from spindle.storage.config.keys import SCOPED, Standing, judged, misspelt
from spindle.storage.config.layers import (
    OF_USER,
    Layer,
    Trust,
    folders_up,
    merge_layers,
    nest,
    project_root,
    trust_of,
)
from spindle.storage.config.model_catalog import Catalog, CatalogFiles
from spindle.storage.config.notes import Note, notes
from spindle.storage.config.providers import not_found, profile_not_found, providers, unusable
from spindle.storage.config.requirements import Requirements, requirements
from spindle.storage.config.tables import merge
from spindle.storage.config.texts import FILES, TextFiles
from spindle.storage.config.toml import find_key, find_value, parse_file
from spindle.storage.home import Home
from spindle.storage.outside import TEXT, digest
from spindle.storage.parsed_files import ParsedFiles

if TYPE_CHECKING:
    from spindle.storage.config.approvals import Approval, Approvals, FirstSight
    from spindle.storage.config.project import Project
    from spindle.storage.plugins.active import ActivePlugin, ActivePlugins

_others = attrgetter("cwd", "trust", "model_catalog", "texts", "requirements", "plugins")
SYSTEM_FILE = Path("/etc/codex/config.toml")
_NOTHING: Mapping[str, Any] = {}
_PROFILE_NAME = re.compile(r"[\w-]+")


@frozen
class _Parsed:
    data: bytes
    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return digest(self.data)


    @classmethod
    def of(cls, path: Path, data: bytes) -> _Parsed:
        return cls(data, parse_file(path, data))


_ABSENT = _Parsed(b"", _NOTHING)


@frozen
class _Evaluated:
    """Values that depend on the layers only."""

    layers: Sequence[Layer]
    merged: Mapping[str, Any]
    raw: Mapping[str, Any]
    notes: Sequence[Note]
    refusals: Mapping[Scope, ConfigError]

    def holds_for(self, layers: Sequence[Layer]) -> bool:
        """Whether `layers` are equal."""
        return len(layers) == len(self.layers) and all(map(_alike, layers, self.layers))


class ConfigLoader:
    """Loads the settings of one home. Blocking; may be shared by worker threads.

    `overrides` apply to each load: the command line's `-c key=value`, parsed (`parse_override`). `requirements.toml` is
    beside `system_file`.
    """

    def __init__(
        self, home: Home, overrides: Sequence[tuple[str, Any]] = (), *, system_file: Path = SYSTEM_FILE
    ) -> None:
        self.home = home
        self.overrides = tuple(overrides)
        self.system_file = system_file
        self.requirements_file = system_file.with_name("requirements.toml")
        self._files = ParsedFiles(TEXT, _Parsed.of)
        self._requirements: tuple[Mapping[str, Any], Requirements] | None = None
        self._evaluated: _Evaluated | None = None
        self._latest: Config | None = None
        self._first_sight: FirstSight | None = None
        self._catalogs = CatalogFiles()
        self._texts = TextFiles()
        self._lock = threading.Lock()
        self._plugins: ActivePlugins | None = None

    @cached_property
    def approvals(self) -> Approvals:
        """The user's approvals of projects' settings."""
        from spindle.storage.config.approvals import Approvals

        return Approvals(self.home)

    def load(self, cwd: Path | None = None, overrides: Sequence[tuple[str, Any]] = ()) -> Config:
        """The settings for `cwd` (None: without project layers); `overrides` are the strongest.

        A profile is stronger than the files and weaker than overrides. Raises ConfigError with the file and the place,
        OSError for an existing file that cannot be read.
        """
        demanded = self.requirements()
        flags = nest([*self.overrides, *overrides])
        session = _session(flags)
        below = self._below(session)
        projects, trust = self._projects(cwd, merge_layers([*session, *below]))
        layers = [*session, *projects, *below]
        evaluated = self._evaluated
        if evaluated is None or not evaluated.holds_for(layers):
            evaluated = self._evaluated = self._evaluate(layers, flags)
        raw = evaluated.raw
        texts, plugins = self._file_texts(raw, layers), self._active_plugins(raw, layers, demanded)
        others = (cwd, trust, self._catalog(raw, layers), texts, demanded, plugins)
        latest = self._latest
        if latest is None or latest.raw is not raw or _others(latest) != others:  # else threads share one object
            latest = Config(raw, evaluated.merged, layers, *others, evaluated.notes, evaluated.refusals)
            self._latest = latest
        return latest

    def layers(self) -> Sequence[Layer]:
        """The layers outside of any project, strongest first, whether they are valid or not. Raises ConfigError, OSError."""
        session = _session(nest(self.overrides))
        return [*session, *self._below(session)]

    def root(self, cwd: Path) -> Path:
        """The root folder of the project that contains `cwd`. Raises ConfigError, OSError."""
        return _root(cwd, merge_layers(self.layers()))

    def read(self, file: Path) -> Mapping[str, Any]:
        """The whole content of a configuration file, whether it counts or not. Raises ConfigError, OSError."""
        return self._read(file)

    def place(self, file: Path, keys: tuple[str, ...]) -> tuple[int, int] | None:
        """Line and column, from 1, of the first mention of a key in a file that was read."""
        return self._place(file, keys, find=find_key)

    def _below(self, session: Sequence[Layer]) -> list[Layer]:
        user = Layer({"type": "user", "file": str(self.home.config_file)}, self._read(self.home.config_file))
        below = [user, Layer({"type": "system", "file": str(self.system_file)}, self._read(self.system_file))]
        return [*self._profile_file(merge_layers([*session, *below]).get("profile")), *below]

    def _profile_file(self, name: object) -> list[Layer]:
        """The layer of a profile in a file of its own, as of Codex 0.171."""
        if not isinstance(name, str) or not _PROFILE_NAME.fullmatch(name):
            return []
        file = self.home.path / f"{name}.config.toml"
        parsed = self._parse(file)
        return [] if parsed is _ABSENT else [Layer({"type": "user", "file": str(file), "profile": name}, parsed.content)]

    def _evaluate(self, layers: Sequence[Layer], flags: Mapping[str, Any]) -> _Evaluated:
        merged = merge_layers(layers)
        self._check(merged, layers)
        in_file = any("profile" in layer.source for layer in layers)
        raw = merged if in_file else merge(merge(merged, _profile(merged)), flags)
        named = raw.get("model_provider")
        if named is not None and named not in (known := providers(raw)):
            raise ConfigError(not_found(named, known))
        noted = [note for layer in layers if layer.disabled_reason is None for note in self._noted(layer)]
        return _Evaluated(layers, merged, raw, noted, self._refusals(raw, layers))

    def requirements(self) -> Requirements:
        """The administrator's requirements. Raises ConfigError, OSError."""
        path = self.requirements_file
        if os.path.exists(older := path.with_name("managed_config.toml")):
            raise ConfigError("this older form of an administrator's demands is not supported; use requirements.toml", older)
        table, known = self._read(path), self._requirements
        if known is None or known[0] is not table:
            known = self._requirements = table, requirements(path, table, lambda keys: self._place(path, keys, find=find_key))
        return known[1]

    def overlay(self, config: Config, file: str) -> tuple[Config, Mapping[str, Any]]:
        """(`config` overridden by the settings in the file of an agent's role, those settings).

        The file is relative to the one that names it. Raises ConfigError, also for a missing file, or a project's file
        that is not approved; OSError.
        """
        layer = _strongest(config.layers, lambda table: _names_role(table, file))
        path = self._folder_of(layer) / Path(file).expanduser()
        if not path.is_file():
            raise ConfigError(f"there is no file {path}")
        parsed = self._parse(path)
        over = parsed.content
        if layer is not None and layer.project is not None:
            from spindle.storage.config.project import of_role

            over = of_role(over, path, parsed.digest, layer.project)
        raw = merge(config.raw, over)
        layers = [Layer({"type": "user", "file": str(path)}, over), *config.layers]
        self._check(raw, layers)
        changed = evolve(config, raw=raw, texts=self._file_texts(raw, layers), refusals=self._refusals(raw, layers))
        changed.check()
        return changed, over

    def defaults(self) -> Config:
        """The default settings, used while a file is invalid."""
        system = Layer({"type": "system", "file": str(self.system_file)}, {})
        user = Layer({"type": "user", "file": str(self.home.config_file)}, {})
        empty: dict[str, Any] = {}
        return Config(raw=empty, merged=empty, layers=[user, system], cwd=None, trust=None)

    def _catalog(self, raw: Mapping[str, Any], layers: Sequence[Layer]) -> Catalog | None:
        named: object = raw.get("model_catalog_json")
        if not isinstance(named, str):
            return None
        folder = self._folder(layers, lambda table: table.get("model_catalog_json") == named)
        return self._catalogs.read(folder / Path(named).expanduser())

    def _file_texts(self, raw: Mapping[str, Any], layers: Sequence[Layer]) -> Mapping[str, str]:
        texts: dict[str, str] = {}
        for key, what in FILES.items():
            named: object = raw.get(key)
            if isinstance(named, str):
                folder = self._folder(layers, partial(_names, key, named))
                texts[key] = self._texts.read(Path(os.path.normpath(folder / Path(named).expanduser())), what)
        return texts

    def _active_plugins(
        self, raw: Mapping[str, Any], layers: Sequence[Layer], demanded: Requirements
    ) -> Sequence[ActivePlugin]:
        """The plugins that the user has enabled; a project cannot enable any."""
        tables = mapping(merge_layers([one for one in layers if one.source["type"] in OF_USER]).get("plugins"))
        if not tables or not feature("plugins", True, demanded.features, mapping(raw.get("features"))):
            return ()
        with self._lock:
            if self._plugins is None:
                from spindle.storage.plugins.active import ActivePlugins

                self._plugins = ActivePlugins(self.home)
        return self._plugins.read(tables)

    def _folder(self, layers: Sequence[Layer], matches: Callable[[Mapping[str, Any]], bool]) -> Path:
        """The base of a relative path: the folder of the strongest file that has it; the home if no file has it."""
        return self._folder_of(_strongest(layers, matches))

    def _folder_of(self, layer: Layer | None) -> Path:
        file = None if layer is None else _file(layer)
        return file.parent if file else self.home.path

    def _projects(self, cwd: Path | None, settings: Mapping[str, Any]) -> tuple[list[Layer], Trust | None]:
        if cwd is None:
            return [], None
        cwd = Path(os.path.abspath(cwd))
        root = _root(cwd, settings)
        listed = settings.get("projects")
        layers: list[Layer] = []
        approved: Mapping[str, Approval] | None = None
        for folder in folders_up(cwd, root):
            dot_codex = folder / ".codex"
            if not dot_codex.is_dir() or self._is_home(dot_codex):
                continue
            own = trust_of(listed, folder)
            reason = self._disabled(own or trust_of(listed, root), folder if own else root)
            file = dot_codex / "config.toml"
            source = {"type": "project", "dotCodexFolder": str(dot_codex)}
            try:
                parsed = self._parse(file)
            except (ConfigError, OSError):
                # A file that does not count need not be valid.
                if reason is None:
                    raise
                parsed = _ABSENT
            if reason is not None:
                layers.append(Layer(source, parsed.content, reason))
                continue
            if approved is None:
                approved = self.approvals.read()
            counts, project = self._gated(parsed, file, root, approved, below=folder != root and own is None)
            layers.append(Layer(source, counts, project=project))
        return layers, trust_of(listed, cwd, root)

    def _gated(
        self, parsed: _Parsed, file: Path, root: Path, approved: Mapping[str, Approval], *, below: bool
    ) -> tuple[Mapping[str, Any], Project]:
        # imported here: few projects have settings
        from spindle.storage.config.approvals import FirstSight
        from spindle.storage.config.project import gated

        with self._lock:
            first_sight = self._first_sight = self._first_sight or FirstSight()
        counts, project = gated(parsed.content, file, root, approved, below=below)
        return counts, evolve(project, first_sight=first_sight, data=parsed.data)

    def _is_home(self, folder: Path) -> bool:
        """Whether a `.codex` folder is the home (by name or through a link) and not a project's."""
        try:
            return folder == self.home.path or folder.samefile(self.home.path)
        except OSError:
            return False

    def _disabled(self, trust: Trust | None, folder: Path) -> str | None:
        if trust == "trusted":
            return None
        state = "is marked as untrusted" if trust == "untrusted" else "is not marked as trusted"
        return f"{folder} {state} in {self.home.config_file}; its .codex folders count once it is trusted."

    def _noted(self, layer: Layer) -> Sequence[Note]:
        """The notes of a layer."""
        path = _file(layer)
        if path is None:
            return notes(layer.config, None, lambda keys: None)
        left_out = () if layer.project is None else layer.project.left_out
        return notes(layer.config, path, partial(self._place, path, find=find_key), left_out)

    def _refusals(self, raw: Mapping[str, Any], layers: Sequence[Layer]) -> Mapping[Scope, ConfigError]:
        """The refusals of the settings in force, one error per scope."""
        found: dict[Scope, ConfigError] = {}
        for keys, standing in judged(raw):
            if standing is Standing.REFUSED and keys[0] != "profiles":
                scope = (keys[0], keys[1]) if keys[0] in SCOPED else None
                hint = misspelt(keys)
                what = "not supported" if hint is None else "not a known setting"
                reason = f"`{'.'.join(keys)}` is {what}, so what it asks for cannot be kept to{f'.{hint}' if hint else ''}"
                found.setdefault(scope, self._refusal(keys, reason, raw, layers))
        for name, keys, reason in unusable(raw):
            found.setdefault(("model_providers", name), self._refusal(keys, reason, raw, layers))
        return found

    def _refusal(
        self, keys: tuple[str, ...], reason: str, raw: Mapping[str, Any], layers: Sequence[Layer]
    ) -> ConfigError:
        for at in (keys, ("profiles", str(raw.get("profile")), *keys)):
            for layer in layers:
                if layer.disabled_reason is None and _has(layer.config, at):
                    path = _file(layer)
                    return ConfigError(reason, path, *((path and self._place(path, at, find=find_key)) or ()))
        return ConfigError(reason)

    def _check(self, merged: Mapping[str, Any], layers: Sequence[Layer]) -> None:
        for keys, reason in faults(merged):
            for layer in layers:
                if layer.disabled_reason is None and _has(layer.config, keys):
                    path, place = self._find(layer, keys)
                    named = reason if place else f"{'.'.join(keys)}: {reason}"
                    table = path and self._place(path, keys, find=find_key)
                    raise ConfigError(named, path, *(place or table or ()))
            raise ConfigError(f"{'.'.join(keys)}: {reason}")

    def _find(self, layer: Layer, keys: tuple[str, ...]) -> tuple[Path | None, tuple[int, int] | None]:
        path = _file(layer)
        return path, None if path is None else self._place(path, keys)

    def _place(
        self,
        path: Path,
        keys: tuple[str, ...],
        *,
        find: Callable[[bytes, tuple[str, ...]], tuple[int, int] | None] = find_value,
    ) -> tuple[int, int] | None:
        parsed = self._files.last(path)
        return None if parsed is None else find(parsed.data, keys)

    def _read(self, path: Path) -> Mapping[str, Any]:
        return self._parse(path).content

    def _parse(self, path: Path) -> _Parsed:
        try:
            return self._files.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return _ABSENT


def load(home: Home, cwd: Path | None = None, overrides: Sequence[tuple[str, Any]] = ()) -> Config:
    """`ConfigLoader.load` for a single use."""
    return ConfigLoader(home).load(cwd, overrides)


def _session(flags: Mapping[str, Any]) -> list[Layer]:
    return [Layer({"type": "sessionFlags"}, flags)] if flags else []


def _root(cwd: Path, settings: Mapping[str, Any]) -> Path:
    markers: object = settings.get("project_root_markers", [".git"])
    names = cast("list[object]", markers) if isinstance(markers, list) else [".git"]
    return project_root(Path(os.path.abspath(cwd)), [name for name in names if isinstance(name, str)])


def _strongest(layers: Sequence[Layer], matches: Callable[[Mapping[str, Any]], bool]) -> Layer | None:
    return next((one for one in layers if one.disabled_reason is None and matches(one.config)), None)


def _alike(one: Layer, other: Layer) -> bool:
    # an unchanged file gives the same object; overrides are small
    same = one.config is other.config or ("file" not in one.source and one.config == other.config)
    return same and (one.source, one.disabled_reason, one.project) == (other.source, other.disabled_reason, other.project)


def _file(layer: Layer) -> Path | None:
    if (file := layer.source.get("file")) is not None:
        return Path(file)
    folder = layer.source.get("dotCodexFolder")
    return None if folder is None else Path(folder) / "config.toml"


def _profile(merged: Mapping[str, Any]) -> Mapping[str, Any]:
    name = merged.get("profile")
    if name is None:
        return {}
    profiles: object = merged.get("profiles")
    chosen = mapping(profiles).get(name)
    if not isinstance(chosen, dict):
        raise ConfigError(profile_not_found(name, mapping(profiles)))
    return cast("dict[str, Any]", chosen)


def _names(key: str, file: str, table: Mapping[str, Any]) -> bool:
    profiles: object = table.get("profiles")
    tables = cast("Mapping[str, object]", profiles).values() if isinstance(profiles, Mapping) else ()
    return any(
        isinstance(one, Mapping) and cast("Mapping[str, object]", one).get(key) == file for one in (table, *tables)
    )


def _names_role(table: Mapping[str, Any], file: str) -> bool:
    roles: object = table.get("agents")
    tables = cast("Mapping[str, object]", roles).values() if isinstance(roles, Mapping) else ()
    return any(
        isinstance(role, Mapping) and cast("Mapping[str, object]", role).get("config_file") == file for role in tables
    )


def _has(config: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    value: object = config
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return False
        value = cast("dict[str, object]", value)[key]
    return True
