import { afterEach, expect, test, vi } from 'vitest'

import { Refused } from '../src/errors'
import { Session, SessionEnded } from '../src/session'

type Call = { path: string; body: unknown; bearer: string | null }

function memory(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> {
  const items = new Map<string, string>()
  return { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value), removeItem: (key) => void items.delete(key) }
}

/** Answers each request in turn with a status and an envelope. */
function answers(...replies: [number, unknown][]): Call[] {
  const calls: Call[] = []
  vi.stubGlobal('fetch', async (path: string, init: RequestInit = {}) => {
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : null
    calls.push({ path, body, bearer: new Headers(init.headers).get('Authorization') })
    const [status, reply] = replies.shift()!
    return new Response(JSON.stringify(reply), { status })
  })
  return calls
}

const tokens = (n: number): [number, unknown] => [
  200,
  { success: true, data: { user: { id: 'u1', name: 'Alice' }, tenant: { id: 'acme', name: 'Acme' }, access_token: `a${n}`, refresh_token: `r${n}` } },
]
const no = (status: number, code: string): [number, unknown] => [status, { success: false, error: { code, message: code } }]

afterEach(() => vi.unstubAllGlobals())

test('a reload goes on with the kept refresh token, which works once', async () => {
  const storage = memory()
  answers(tokens(1))
  await new Session(storage).signIn('alice@acme.example', 'secret')

  const calls = answers(tokens(2), tokens(3))
  const reloaded = new Session(storage)
  expect(await reloaded.resume()).toBe(true)
  expect(reloaded.user?.name).toBe('Alice')
  await reloaded.renew()
  expect(calls.map((call) => call.body)).toEqual([{ refresh_token: 'r1' }, { refresh_token: 'r2' }])
})

test('two who need a token at once share one renewal', async () => {
  const session = new Session(memory())
  const calls = answers(tokens(1))
  expect(await Promise.all([session.renew(), session.renew()])).toEqual(['a1', 'a1'])
  expect(calls).toHaveLength(1)
})

test('a refused refresh token ends the session, a server that is down does not', async () => {
  const storage = memory()
  const session = new Session(storage)
  answers(tokens(1), no(503, 'UNAVAILABLE'), no(401, 'UNAUTHORIZED'))
  await session.signIn('alice@acme.example', 'secret')
  await expect(session.renew()).rejects.toThrow(Refused)
  expect(session.user).not.toBeNull()
  await expect(session.renew()).rejects.toThrow(SessionEnded)
  expect(await new Session(storage).resume()).toBe(false)
})

test('a list is read to its last page, over an expired token', async () => {
  const session = new Session(memory())
  const page = (id: string, next: string | null): [number, unknown] => [
    200,
    { success: true, data: { projects: [{ id }] }, meta: { pagination: { limit: 1, next, total: null } } },
  ]
  const calls = answers(no(401, 'UNAUTHORIZED'), tokens(1), page('p1', 'c/1'), page('p2', null))
  expect(await session.list('/tenants/acme/projects', 'projects')).toEqual([{ id: 'p1' }, { id: 'p2' }])
  expect(calls.at(-1)).toMatchObject({ path: '/api/v1/tenants/acme/projects?limit=100&cursor=c%2F1', bearer: 'Bearer a1' })
})

test('a sign-in that asks for more has signed nobody in until that is given', async () => {
  const storage = memory()
  const session = new Session(storage)
  const half = { token: 'half', expires_in: 300, methods: ['totp', 'recovery_code'] }
  answers([200, { success: true, data: { user: null, tenant: null, access_token: null, second_factor: half } }], tokens(1))
  expect(await session.signIn('alice@acme.example', 'secret')).toEqual(half)
  expect([session.signedIn, storage.getItem('atrium.session')]).toEqual([false, null])
  expect(await session.enter('/auth/second-factor', { token: 'half', code: '123456' })).toBeNull()
  expect(session.signedIn).toBe(true)
})

test('a renewal that names no tenant says that the membership is over', async () => {
  const session = new Session(memory())
  answers(tokens(1), [200, { success: true, data: { user: { id: 'u1', name: 'Alice' }, tenant: null, access_token: 'a2', refresh_token: 'r2' } }])
  await session.signIn('alice@acme.example', 'secret')
  await session.renew()
  expect(session.tenant).toBeNull()
})
