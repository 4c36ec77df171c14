"""Marketplaces of plugins: add, remove and upgrade them."""

from collections.abc import Sequence

from spindle.rpc.lazy_class import frozen


@frozen
class MarketplaceAddParams:
    """Add a marketplace. `source` is a folder, a git URL or `owner/repo`; the others are for git."""

    source: str
    ref_name: str | None = None
    sparse_paths: Sequence[str] | None = None


@frozen
class MarketplaceAddResponse:
    """The marketplace, and whether it had been added before."""

    marketplace_name: str
    installed_root: str
    already_added: bool


@frozen
class MarketplaceRemoveParams:
    """Remove a marketplace."""

    marketplace_name: str


@frozen
class MarketplaceRemoveResponse:
    """`installed_root` is the folder of a clone, which is gone too."""

    marketplace_name: str
    installed_root: str | None = None


@frozen
class MarketplaceUpgradeParams:
    """Fetch git marketplaces again; default: all."""

    marketplace_name: str | None = None


@frozen
class MarketplaceUpgradeErrorInfo:
    """A marketplace that could not be fetched."""

    marketplace_name: str
    message: str


@frozen
class MarketplaceUpgradeResponse:
    """The marketplaces that were looked at, the folders of those that have changed, and failures."""

    selected_marketplaces: Sequence[str]
    upgraded_roots: Sequence[str]
    errors: Sequence[MarketplaceUpgradeErrorInfo] = ()
