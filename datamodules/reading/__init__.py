"""Video files and frame folders behind one small interface."""
