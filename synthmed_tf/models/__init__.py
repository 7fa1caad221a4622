"""The networks. They know nothing of losses, optimizers, files or strategies."""
