"""Meta's Marketing API: login, campaigns, insights, Conversions API, webhooks. Versions v25.0 and v26.0.

https://developers.facebook.com/docs/marketing-apis
Every app id with any secret that does not begin with `bad` is a registered app; an app whose id ends in `7` must
send `appsecret_proof`, others may. The login dialog (at www.facebook.com there) is served here too. People, accounts
and first campaigns are in `people.py`, errors in `errors.py`, what a test may do beyond HTTP in `actions.py`.
"""
