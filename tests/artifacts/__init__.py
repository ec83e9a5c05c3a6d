"""Tests of the ports: git, programs and files, each against the real thing."""
