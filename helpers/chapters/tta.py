"""Chapter 6: averaging over the flip, and calibration."""
