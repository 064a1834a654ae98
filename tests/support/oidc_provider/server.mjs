// npm's oidc-provider on loopback, with one client: node server.mjs PORT APP_URL
import { Provider } from "oidc-provider";

const [port, app] = process.argv.slice(2);

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: "the-client",
      client_secret: "the-secret-of-the-client",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${app}/callback`],
      post_logout_redirect_uris: [`${app}/logout`],
      backchannel_logout_uri: `${app}/backchannel-logout`,
      backchannel_logout_session_required: true,
    },
  ],
  claims: { email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["for tests alone"] },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
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
});

provider.listen(port, "localhost", () => console.log("listening"));
