"""What styles are generated from once Stage-II is trained: a normal distribution fitted to the training photographs.

In training the encoder's styles are pulled towards a standard normal distribution, weakly, and end elsewhere; between
them the generator has seen no image. So, as Stage-I's threshold, the distribution is measured on the training
pairs and belongs to the snapshot (the aggregate posterior of Makhzani et al. 2016, here with one Gaussian).
"""

from dataclasses import dataclass

import numpy as np

_LEAST_VARIANCE = 1e-6
"""So that a few images whose styles have no spread of their own still give a distribution."""


@dataclass(frozen=True)
class StylePrior:
    """A normal distribution of styles.

    Attributes:
        mean: `(dim,)`, float32.
        factor: `(dim, dim)`, float32, lower triangular: the covariance is factor times its transpose.
    """

    mean: np.ndarray
    factor: np.ndarray

    def style(self, normal):
        """Styles `(batch, dim)` from standard normal numbers of that shape; arrays or tensors, float32."""
        return normal @ self.factor.T + self.mean


def fit(means: np.ndarray, log_variances: np.ndarray) -> StylePrior:
    """The distribution with the mean and the covariance of all images' styles together.

    Args:
        means, log_variances: `(images, dim)`: of each image's posterior; two images or more.
    """
    covariance = np.atleast_2d(np.cov(means, rowvar=False, dtype=np.float64))
    covariance += np.diag(np.exp(log_variances.astype(np.float64)).mean(axis=0) + _LEAST_VARIANCE)
    return StylePrior(means.mean(axis=0).astype(np.float32), np.linalg.cholesky(covariance).astype(np.float32))
