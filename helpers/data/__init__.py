"""The images and the weights: one Dataset, several sources."""
