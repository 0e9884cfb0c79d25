"""Arrays to the files of others: each function knows an encoding and nothing of datasets."""
