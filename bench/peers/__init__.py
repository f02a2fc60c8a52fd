"""What one would use, or build, instead: each as good as we can make it, one process each, on the same machine."""
