// An OpenID Connect provider (npm oidc-provider) whose people sign in by choosing who they are.
//
//   node identity_provider.mjs PORT SETTINGS
//
// SETTINGS is JSON: `client` (metadata), `people` (claims by sub), `claimsInIdToken`. Prints a line when it listens.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port, settings] = process.argv.slice(2);
const { client, people, claimsInIdToken } = JSON.parse(settings);
const issuer = `http://127.0.0.1:${port}`;
const key = { ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), use: "sig" };

const provider = new Provider(issuer, {
  clients: [client],
  jwks: { keys: [key] },
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], profile: ["name", "groups", "department", "employee_number"] },
  conformIdTokenClaims: !claimsInIdToken,
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...people[sub] }) }),
  interactions: { url: (_, interaction) => `/choose/${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  ttl: { Session: 600, Interaction: 600, Grant: 600, AccessToken: 60, IdToken: 60 },
});

const answer = provider.callback();
createServer(async (request, response) => {
  const url = new URL(request.url, issuer);
  if (!url.pathname.startsWith("/choose/")) return answer(request, response);
  if (url.searchParams.has("cancel")) {
    return provider.interactionFinished(request, response, { error: "access_denied" });
  }
  if (url.searchParams.has("who")) {
    return provider.interactionFinished(request, response, { login: { accountId: url.searchParams.get("who") } });
  }
  const choices = Object.keys(people).map((sub) => `<p><a href="?who=${encodeURIComponent(sub)}">${sub}</a></p>`);
  response.setHeader("Content-Type", "text/html");
  response.end(`<!doctype html><title>Who are you?</title>${choices.join("")}<p><a href="?cancel">cancel</a></p>`);
}).listen(Number(port), "127.0.0.1", () => console.log(issuer));
