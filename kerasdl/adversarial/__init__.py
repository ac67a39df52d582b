"""How easily a network is fooled: attacks, fooling images, and what accuracy is left under them."""

__all__: list[str] = []
