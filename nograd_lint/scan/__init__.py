"""Linting many repositories, each as a project of its own, on this machine or on a cluster."""
