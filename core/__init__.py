"""The modules that connect configuration and training."""
