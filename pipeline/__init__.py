"""Configuration, command line, the jobs and the life of a run."""
