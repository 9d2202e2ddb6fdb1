"""A small campus, its people and the cameras that watch it: the world behind the samples."""
