"""The lab: a whole Saltern cloud on one machine, in podman containers that run systemd."""
