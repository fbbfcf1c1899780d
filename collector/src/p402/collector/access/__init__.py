"""Who people are and what they may: roles, and signing in at an identity provider by OpenID Connect."""
