"""The HTTP API: FastAPI over what `node.views.NodeReader` tells, and one way to hand in transactions.

The room reads views and renders JSON; it decides nothing about the chain, keeps no state, and starts no node. Every
path, its sizes and its problem codes are in the OpenAPI document that it serves.
"""
