import { afterEach, expect, test, vi } from 'vitest'

import { issuers, notSignedIn, startOf } from '../src/sso'

afterEach(() => vi.unstubAllGlobals())

test('providers are asked for by address, and a server that is away has none', async () => {
  const asked: string[] = []
  const acme = { id: 'acme', name: 'Acme', required: false }
  vi.stubGlobal('fetch', async (path: string) => {
    asked.push(path)
    return new Response(JSON.stringify({ success: true, data: { issuers: [acme] } }))
  })
  expect(await issuers('alice+1@acme.example')).toEqual([acme])
  await issuers()
  expect(asked).toEqual(['/api/v1/auth/oidc/issuers?email=alice%2B1%40acme.example', '/api/v1/auth/oidc/issuers'])
  vi.stubGlobal('fetch', () => Promise.reject(new Error('away')))
  expect(await issuers()).toEqual([])
})

test('a provider has its own address, and what went wrong is told in words', () => {
  expect(startOf({ id: 'acme', name: 'Acme', required: true })).toBe('/api/v1/auth/oidc/acme/start?return_to=/')
  expect(notSignedIn('access_denied')).toBe('The sign-in was not completed.')
  expect(notSignedIn('provider_answer')).toMatch('did not say who you are')
})
