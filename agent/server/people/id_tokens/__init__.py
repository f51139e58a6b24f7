"""OpenID Connect, as its provider: a job proves to clouds and vaults what it is, with a token that this server has signed.

The toolkit's routes ask for it. It says nothing of a job but what the server has found itself; `claims` says which that is.
"""
