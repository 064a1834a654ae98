// npm's oidc-provider on loopback, with one client: node server.mjs PORT APP_URL [SETTINGS]
//
// SETTINGS is JSON: `client` and `configuration` are laid over what is below, `tls` has the PEM of
// a certificate with its key (`server`) and of the authority that signs those of clients (`ca`).
// `APP_URL` in a value is the app's.
// `requireNonce` gives it nonces for proofs, and says whether it demands them.
import https from "node:https";
import { Provider } from "oidc-provider";

const [port, app, json] = process.argv.slice(2);
const settings = JSON.parse((json ?? "{}").replaceAll("APP_URL", app));

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const merge = (base, over) => {
  if (!isObject(base) || !isObject(over)) return over;
  const merged = { ...base };
  for (const [name, value] of Object.entries(over)) merged[name] = merge(base[name], value);
  return merged;
};

const client = {
  client_id: "the-client",
  client_secret: "the-secret-of-the-client",
  grant_types: ["authorization_code", "refresh_token"],
  redirect_uris: [`${app}/callback`],
  post_logout_redirect_uris: [`${app}/logout`],
  backchannel_logout_uri: `${app}/backchannel-logout`,
  backchannel_logout_session_required: true,
};

const configuration = {
  claims: { email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["for tests alone"] },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    dPoP:
      settings.requireNonce === undefined
        ? {}
        : { nonceSecret: Buffer.alloc(32, 7), requireNonce: () => settings.requireNonce },
    // Used only where `mTLS.enabled` is set.
    mTLS: {
      getCertificate: (context) => context.socket.getPeerX509Certificate?.(),
      certificateAuthorized: (context) => context.socket.authorized,
      certificateSubjectMatches: (context, property, expected) =>
        property === "tls_client_auth_subject_dn" &&
        context.socket.getPeerX509Certificate().subject === expected,
    },
    resourceIndicators: {
      getResourceServerInfo: (_context, resource) => ({ scope: "api read write", audience: resource }),
      useGrantedResource: () => true,
    },
    // Used only where `richAuthorizationRequests.enabled` is set.
    richAuthorizationRequests: {
      types: { accounts: { validate: () => {} }, payment: { validate: () => {} } },
      authorizationDetailsForGrantSource: ({ oidc }) =>
        oidc.params.authorization_details && JSON.parse(oidc.params.authorization_details),
      authorizationDetailsForAccessToken: (_context, _token, source) => source?.rar,
      authorizationDetailsForIntrospection: (_context, token) => token.rar,
    },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  // By default it sends nothing to addresses such as this machine's, where the app is.
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@example.com`, email_verified: true }),
  }),
  rotateRefreshToken: true,
};

if (settings.firstLifetime) {
  configuration.ttl = {
    AccessToken: (context) =>
      context.oidc.params.grant_type === "refresh_token" ? 3600 : settings.firstLifetime,
  };
}

const scheme = settings.tls ? "https" : "http";
const provider = new Provider(`${scheme}://localhost:${port}`, {
  ...merge(configuration, settings.configuration ?? {}),
  clients: [merge(client, settings.client ?? {})],
});

provider.on("grant.success", (context) => console.log("granted", context.oidc.params.grant_type));
for (const name of ["grant", "userinfo", "pushed_authorization_request", "revocation"])
  provider.on(`${name}.error`, (context, error) => console.log("refused", name, error.message));

const ready = () => console.log("listening");
if (settings.tls) {
  const { server, ca } = settings.tls;
  const options = { cert: server, key: server, ca, requestCert: true, rejectUnauthorized: false };
  https.createServer(options, provider.callback()).listen(port, "localhost", ready);
} else {
  provider.listen(port, "localhost", ready);
}
