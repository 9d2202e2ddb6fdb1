"""Signals to the processes of a job, and the ranks: one config, no one outlives another, all stop together."""
