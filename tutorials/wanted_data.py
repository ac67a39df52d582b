"""Whether a lesson can do anything with the data set that it is given; apart from the runner, for notebooks ask too."""

from kerasdl.data import info


def needs(data: str, *features: str, like: str) -> None:
    """Refuses a data set that a lesson can do nothing with, before it trains for minutes or fails somewhere inside.

    Args:
        data: The name of a data set.
        features: What an example of it has to have.
        like: A set that has all of it.
    """
    known = list(info(data).features)
    if not set(features) <= set(known):
        wanted, has = (" and ".join(", ".join(names).rsplit(", ", 1)) for names in (features, known))
        raise ValueError(
            f"`data` must be a data set with {wanted}, such as {like!r}. Received: data={data!r}, which has {has}."
        )
