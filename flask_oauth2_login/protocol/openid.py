from .oauth2 import OAuth2


class OpenIDConnect(OAuth2):
    pass
