"""The image that components run in on a cluster; its digest is put in at submission."""

IMAGE = "glacierflow-python:latest"
