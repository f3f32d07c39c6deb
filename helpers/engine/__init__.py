"""Behind the wall: everything that needs Keras."""
