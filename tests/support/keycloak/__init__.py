"""Keycloak itself: a server that tests start, its administration, and people at its pages."""
