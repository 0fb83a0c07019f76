"""Types of the reports: nothing of them is seen from Python."""
