"""The management API, version 1: what a product's backend and its people's tools do over HTTP."""
