"""Runs that end with their test."""

from __future__ import annotations

from showkit import shown

__all__ = ["shown"]
