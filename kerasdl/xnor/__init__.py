"""The packed engine: binary networks as words of 64 bits, small and fast on an ordinary processor."""

__all__: list[str] = []
