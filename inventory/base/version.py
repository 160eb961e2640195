"""The version of this software; the distribution's metadata takes it from here."""

VERSION = "0.1.0"
