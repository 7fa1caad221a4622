"""Two GANs that generate retinal photographs with their vessel masks, exported as one graph."""

__version__ = "0.1.0"
