"""What outlives the process: the order journal with its recovery, and the history of finished orders."""
