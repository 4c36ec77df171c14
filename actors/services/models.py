"""The model clients of a runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import define, field

from spindle.actors.tools.commands.process import Warden
from spindle.rpc.model.interface import Model, Provider
from spindle.storage.config import Config
from spindle.storage.credentials import CredentialStore


@define(eq=False)
class Models:
    """One model client for each provider configuration, made when first needed and shared by all threads."""

    make: Callable[[Provider, Config], Model]
    _made: dict[object, Model] = field(factory=lambda: dict[object, Model]())

    def get(self, provider_id: str, config: Config) -> Model:
        """The client of a provider. `provider_id` must be one of the config's."""
        provider = config.providers()[provider_id]
        key = (provider_id, provider.identity, config.offline_script)
        model = self._made.get(key)
        if model is None:
            model = self._made[key] = self.make(provider, config)
        return model

    async def aclose(self) -> None:
        """Close them all."""
        for model in self._made.values():
            await model.aclose()
        self._made.clear()


def clients(credentials: CredentialStore, warden: Warden, cwd: str) -> Callable[[Provider, Config], Model]:
    """Makes the client of each provider. Commands for keys run in `cwd`, and a relative `offline_script` is taken from it."""

    def make(provider: Provider, config: Config) -> Model:
        if provider.is_offline:
            from spindle.rpc.model.offline import OfflineModel

            script = config.offline_script
            return OfflineModel.from_file(Path(cwd, script)) if script else OfflineModel()
        from spindle.rpc.model.responses import ResponsesModel

        if provider.auth is not None:
            from spindle.actors.services.command_keys import CommandKey

            return ResponsesModel(provider, CommandKey(provider, provider.auth, warden, cwd))
        own = provider.env_key or provider.experimental_bearer_token
        if own or not provider.requires_openai_auth:  # OpenAI's key is never sent to other providers
            return ResponsesModel(provider)
        from spindle.actors.services.login_key import LoginKey

        return ResponsesModel(provider, LoginKey(credentials))

    return make
