"""The model clients of a runtime."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from spindle.rpc.model.interface import Model, Provider
from spindle.storage.config import Config


@define(eq=False)
class Models:
    """One model client for each provider configuration, made when first needed and shared by all threads."""

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
