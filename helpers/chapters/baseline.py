"""Chapter 2: the frozen network with a new head."""
