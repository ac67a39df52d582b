"""What latent weights of binary layers must keep to."""

__all__: list[str] = []
