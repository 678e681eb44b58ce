"""Training: optimiser, schedule, gradients of a batch, checkpoints, and the loop over them."""
