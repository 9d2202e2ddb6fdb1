"""LightningModules: losses, metrics, optimisers, what a batch means."""
