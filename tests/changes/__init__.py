"""Tests of stage 1: what changed, against which base, and what a plan depends on."""
