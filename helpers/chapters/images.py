"""Chapter 1: the images, and what the network is given."""
