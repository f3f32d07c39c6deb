"""Chapter 5: mixup."""
