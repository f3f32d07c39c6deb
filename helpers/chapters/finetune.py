"""Chapter 4: the careful fine-tune."""
