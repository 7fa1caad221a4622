"""Being asked to stop."""

import signal

import tensorflow as tf


class Interrupted(Exception):
    """The run was asked to stop, and has saved.

    Attributes:
        signal_number: SIGINT or SIGTERM.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number


class SignalFlag:
    """Remembers SIGINT or SIGTERM while it is entered; a second SIGINT ends the process at once."""

    _number = 0

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy

    def __enter__(self) -> "SignalFlag":
        self._previous = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def read(self) -> int:
        """The signal that came, or 0; with several workers that which any of them got, so that all stop at one step."""
        if not isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return self._number
        return int(self._largest(tf.constant(self._number)))

    @tf.function
    def _largest(self, number: tf.Tensor) -> tf.Tensor:
        add = tf.distribute.ReduceOp.SUM

        def of_each(signal_number: int) -> tf.Tensor:
            came = self._strategy.run(
                lambda: tf.distribute.get_replica_context().all_reduce(add, tf.cast(number == signal_number, tf.int32))
            )
            return self._strategy.experimental_local_results(came)[0] > 0

        terminated, interrupted = of_each(signal.SIGTERM), of_each(signal.SIGINT)
        return tf.where(terminated, int(signal.SIGTERM), tf.where(interrupted, int(signal.SIGINT), 0))

    def _remember(self, number: int, _frame) -> None:
        self._number = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
