"""Arrays and records to numbers. No Keras, no drawing."""
