"""Training: synthetic movies with ground truth, data sets, losses and the fitting loop."""
