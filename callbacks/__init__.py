"""Things that watch a run: throughput, pictures, random state."""
