"""The container image, built from the Dockerfile and run as it will be run: as user 1337, with a read-only root."""
