// A real OpenID Connect provider: oidc-provider from npm, with its own pages for signing in.
// Whoever signs in as `<name>@<domain>` is known by that address; it is proven unless it begins with "unproven".
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

const server = createServer()
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const issuer = `http://127.0.0.1:${server.address().port}`

const provider = new Provider(issuer, {
  clients: [],
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'locale', 'zoneinfo', 'picture'],
  },
  features: {
    registration: { enabled: true },
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
  },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  // Its own guard would keep it from telling a server on this machine that somebody has signed out.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  findAccount: (_, login) => ({
    accountId: login,
    claims: () => ({
      sub: login,
      email: login,
      email_verified: !login.startsWith('unproven'),
      name: `The real ${login.split('@')[0]}`,
      locale: 'de-CH',
      zoneinfo: 'Europe/Zurich',
    }),
  }),
})
server.on('request', provider.callback())
console.log(JSON.stringify({ issuer }))
