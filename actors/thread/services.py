"""What threads share: one of these per runtime, given to every thread, so that nothing is global."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define, field

from spindle.actors.indexing import Indexing
from spindle.actors.subscribers import Audience
from spindle.rpc.model.interface import Model, Provider
from spindle.storage.config import Config, ConfigLoader
from spindle.storage.home import Home
from spindle.storage.rollout.flusher import Flusher
from spindle.storage.rollout.outlines import Outliner
from spindle.storage.state import StateStore


@define(eq=False)
class Models:
    """One model client per provider configuration, made when first asked for and shared by all threads."""

    make: Callable[[Provider, Config], Model]
    _made: dict[object, Model] = field(factory=lambda: dict[object, Model]())

    def get(self, provider_id: str, config: Config) -> Model:
        """The client of a provider. `provider_id` must be one of the config's."""
        provider = config.providers()[provider_id]
        key = (provider_id, repr(provider), config.offline_script)
        model = self._made.get(key)
        if model is None:
            model = self._made[key] = self.make(provider, config)
        return model

    async def aclose(self) -> None:
        """Close them all."""
        for model in self._made.values():
            await model.aclose()
        self._made.clear()


@define(eq=False)
class Services:
    """The shared parts. `version` is ours, as written into rollouts and user agents."""

    home: Home
    config: ConfigLoader
    models: Models
    flusher: Flusher
    audience: Audience
    cwd: str
    version: str
    source: str = "vscode"
    instructions: str = ""
    indexing: Indexing = field(default=Factory(lambda self: Indexing(self.home), takes_self=True))
    state: StateStore = field(default=Factory(lambda self: StateStore(self.home), takes_self=True))
    outliner: Outliner = field(default=Factory(lambda self: self.indexing.outliner(), takes_self=True))
