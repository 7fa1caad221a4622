"""SynthMed, the repository: sets that can be found, trusted, loaded and withdrawn. Nothing here trains or generates."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthmed_tf.repository.read.loading import Loaded, load

__all__ = ["Loaded", "load"]


def __getattr__(name: str) -> Any:
    # What publishes and serves pages needs neither the network nor TensorFlow.
    if name in __all__:
        from synthmed_tf.repository.read import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
