"""The package's version, apart so that it can be read without importing torch."""

VERSION = "0.1.0"
