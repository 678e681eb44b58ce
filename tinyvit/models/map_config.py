"""Configurations of a Vision Transformer that takes the map of a convolutional network for an image.

The hybrid's network is a ResNet; a convolutional stem is a stack of a few convolutions. What follows for the
Transformer is the same: its image is the map.
"""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tinyvit.errors import UsageError
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.sizes import check_whole


@dataclass(frozen=True)
class MapConfig(Config):
    """The parent of such configurations. A child adds the settings of its network, and describes all of them.

    Parameters
    ----------
    vit : ViTConfig
        Of the Transformer, for the map; its image and channels follow from the network. A dictionary, as JSON has it,
        becomes one.
    image : int
        Side of the (square) images, in pixels.
    channels : int
        3 for colour, 1 for grey.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    vit: ViTConfig = dataclasses.field(default_factory=lambda: ViTConfig(image=1, patch=1))
    image: int = 224
    channels: int = 3

    if TYPE_CHECKING:  # a child has these

        @property
        def halvings(self) -> int:  # how often the network halves the sides
            ...
        @property
        def features(self) -> int: ...

        @property
        def network(self) -> str:  # its name in messages
            ...
        @property
        def shortened_by(self) -> str:  # the setting of which fewer make fewer halvings, in messages
            ...
        @property
        def fewest_halvings(self) -> int: ...

    def __post_init__(self):
        for name in ("image", "channels"):
            check_whole(name, getattr(self, name))
        least = 2**self.halvings // 2 + 1
        if self.image < least:
            often = "once" if self.halvings == 1 else f"{self.halvings} times"
            fewer = f", or fewer {self.shortened_by}" if self.halvings > self.fewest_halvings else ""
            raise UsageError(
                f"image {self.image} is too small: the {self.network} halves its sides {often}, "
                f"expected at least {least}{fewer}"
            )
        object.__setattr__(self, "vit", self._on_the_map())  # the dataclass is frozen for everybody else

    def _on_the_map(self):
        """The Transformer, whose image is the network's map."""
        values = vars(self.vit) if isinstance(self.vit, ViTConfig) else self.vit
        if not isinstance(values, dict) or not values.keys() <= ViTConfig.settings().keys():
            return ViTConfig.from_dict(values)  # says what is wrong
        patch = values.get("patch", ViTConfig.patch)
        if type(patch) is int and patch > 0 and self.side % patch:
            divisors = ", ".join(str(n) for n in range(1, self.side + 1) if self.side % n == 0)
            raise UsageError(
                f"patch {patch} does not divide the {self.side} x {self.side} places of the map that the "
                f"{self.network} makes of image {self.image}: choose a patch that does, one of {divisors}"
            )
        return ViTConfig.from_dict(values | {"image": self.side, "channels": self.features})

    @property
    def encoder(self) -> ViTConfig:
        """The Transformer as if its patches were cut from the image, or from one that so many patches just cover."""
        patch = -(-self.image // self.vit.grid)
        return self.vit.changed(image=patch * self.vit.grid, channels=self.channels, patch=patch)

    @property
    def side(self) -> int:
        """Of the map that the network makes."""
        return -(-self.image // 2**self.halvings)

    @property
    def divisor(self) -> int:
        """Images whose sides are multiples of it have a map of whole patches; all, if a patch is one place of it."""
        return 1 if self.vit.patch == 1 else self.vit.patch * 2**self.halvings

    @property
    def classes(self) -> int:
        """K: number of classes."""
        return self.vit.classes

    @classmethod
    def settings(cls) -> dict[str, tuple[Any, Any]]:
        """The Transformer's, but for its image and channels, and those of the network."""
        return ViTConfig.settings() | _own(cls)

    def values(self) -> dict[str, Any]:
        """The settings' values by name."""
        return self.vit.values() | {name: getattr(self, name) for name in _own(type(self))}

    def changed(self, **values: Any) -> Self:
        """The configuration with other values of some settings."""
        own = {name: values.pop(name) for name in _own(type(self)) if name in values}
        own["vit"] = vars(self.vit) | values  # to be checked when the map has its new size
        return dataclasses.replace(self, **own)


def _own(cls):
    """The settings that are not the Transformer's."""
    return {f.name: (cls, f.type) for f in dataclasses.fields(cls) if f.name != "vit"}
