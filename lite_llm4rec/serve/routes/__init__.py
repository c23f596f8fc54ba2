"""The addresses: each reads its request, asks the service, and writes the answer."""
