"""AutoDS: products, bulk actions and orders of a dropshipping account; no public API has a complete description.

https://github.com/AutoDSTools/autods-mcp-public
The operations say how well each is known; what nobody outside knows stands in `assumed.py`. Any Bearer token is good
but those that start with `bad` or `expired` and, on the gateway, `noplan`.
"""
