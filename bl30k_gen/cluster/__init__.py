"""Building a dataset on many machines: Slurm jobs, lists of videos, status, history, clean-up."""
