"""Chapter 7: beyond the study."""
