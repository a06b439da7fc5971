import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { Server, type Socket } from 'socket.io'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import type { Reply } from '../src/errors'
import { Live, type LiveOptions } from '../src/live'
import { SessionEnded } from '../src/session'

// The other end here is a bare Socket.IO server with scripted answers: it decides nothing, so that
// each test can show the client one situation. The real server is met in tests/browser.

type Payload = Record<string, any>
type Answer = (name: string, payload: Payload, socket: Socket) => Reply | undefined

const ROOM = 'project:p1'
const joined = (seq: number, more: Payload = {}): Reply => ({
  success: true,
  data: { room: ROOM, epoch: 1, seq, mode: 'snapshot', snapshot: { tasks: [{ id: 't1', title: `at ${seq}` }] }, presence: [], ...more },
})
const event = (seq: number, title: string, command_id: string | null = null) => ({
  room: ROOM, seq, at: '', actor: { id: 'u2', name: 'Bob' }, command_id, data: { task: { id: 't1', title } },
})

let http: HttpServer
let server: Server
let live: Live
let answer: Answer
let asked: [string, Payload][]
let tokens: string[]

async function listen(port = 0): Promise<number> {
  http = createServer()
  server = new Server(http)
  server.use((socket, next) => {
    const { token } = socket.handshake.auth as { token: string }
    tokens.push(token)
    next(token === 'old' ? Object.assign(new Error('expired'), { data: { code: 'UNAUTHORIZED' } }) : undefined)
  })
  server.on('connection', (socket) =>
    socket.onAny((name: string, payload: Payload, ack?: (reply: Reply) => void) => {
      asked.push([name, payload])
      const reply = answer(name, payload, socket)
      if (reply) ack?.(reply)
    }),
  )
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve))
  return (http.address() as AddressInfo).port
}

function connect(port: number, more: Partial<LiveOptions> = {}): Live {
  live = new Live({
    url: `http://127.0.0.1:${port}`, token: () => 'good', renew: async () => 'good', changed: () => undefined, ...more,
  })
  live.start()
  return live
}

const title = () => live.room?.store.one<{ id: string; title: string }>('tasks', 't1')?.title
const joins = () => asked.filter(([name]) => name === 'room.join').map(([, payload]) => payload)

let port: number
beforeEach(async () => {
  asked = []
  tokens = []
  answer = (name) => (name === 'room.join' ? joined(1) : undefined)
  port = await listen()
})
afterEach(async () => {
  live.stop()
  await server.close()
})

test('joins, then follows the events', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  server.emit('task.updated', event(2, 'two'))
  await vi.waitFor(() => expect(title()).toBe('two'))
  expect(live.connection).toBe('live')
})

test('a hole makes it join again from where it stands', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  answer = () => joined(3, { mode: 'events', events: [event(2, 'two'), event(3, 'three')] })
  server.emit('task.updated', event(3, 'three'))
  await vi.waitFor(() => expect(title()).toBe('three'))
  expect(joins().at(-1)).toEqual({ room: ROOM, since: { epoch: 1, seq: 1 } })
})

test('room.resync makes it join again', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  answer = () => joined(40)
  server.emit('room.resync', { room: ROOM, since_seq: 1 })
  await vi.waitFor(() => expect(title()).toBe('at 40'))
})

test('a change survives a server that dies before it answers', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  const done = live.change('task.update', { task_id: 't1', changes: { title: 'mine' } }, 'change the card')
  await vi.waitFor(() => expect(asked.at(-1)![0]).toBe('task.update'))
  const { command_id } = asked.at(-1)![1]

  await server.close()
  await vi.waitFor(() => expect(live.connection).toBe('reconnecting'))
  expect(live.outbox.waiting).toBe(1)
  answer = (name) =>
    name === 'room.join'
      ? joined(2, { mode: 'events', events: [event(2, 'mine', command_id)] })
      : { success: true, data: {}, meta: { room: ROOM, seq: 2, duplicate: true } }
  await listen(port)

  await done
  expect(asked.filter(([name]) => name === 'task.update').map(([, sent]) => sent.command_id)).toEqual([command_id, command_id])
  await vi.waitFor(() => expect(title()).toBe('mine'))
  expect(live.outbox.drawn(ROOM)).toEqual([])
  expect(joins().at(-1)!.since).toEqual({ epoch: 1, seq: 1 })
})

test('an expired token is renewed and the connection made', async () => {
  let token = 'old'
  connect(port, { token: () => token, renew: async () => (token = 'new') })
  await vi.waitFor(() => expect(live.connection).toBe('live'), 3000)
  expect(tokens).toEqual(['old', 'new'])
})

test('a session that cannot be renewed has ended', async () => {
  const ended = vi.fn()
  connect(port, { token: () => 'old', renew: () => Promise.reject(new SessionEnded()), ended })
  await vi.waitFor(() => expect(ended).toHaveBeenCalledOnce())
})

test('session.expiring is answered with a fresh token on the same connection', async () => {
  connect(port, { token: () => 'fresh' })
  await vi.waitFor(() => expect(live.connection).toBe('live'))
  server.emit('session.expiring', { expires_at: '' })
  await vi.waitFor(() => expect(asked).toContainEqual(['session.refresh', { token: 'fresh' }]))
  expect(tokens).toHaveLength(1)
})

test('a draining server is left when it asks, and come back to', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  server.emit('server.draining', { reconnect_in_ms: 10 })
  await vi.waitFor(() => expect(joins()).toHaveLength(2))
  expect(live.connection).toBe('live')
})

test('a closed room is marked so, and not joined again', async () => {
  connect(port).enter(ROOM)
  await vi.waitFor(() => expect(title()).toBe('at 1'))
  server.emit('room.closed', { room: ROOM, reason: 'revoked' })
  await vi.waitFor(() => expect(live.room?.closed).toBe('revoked'))
  server.emit('room.resync', { room: ROOM, since_seq: 1 })
  server.emit('task.updated', event(9, 'nine'))
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(joins()).toHaveLength(1)
})

test('permissions that change are in force at once', async () => {
  const permitted: unknown[] = []
  answer = (name) => (name === 'room.join' ? joined(1, { permissions: ['task.edit', 'board.edit'] }) : undefined)
  const room = connect(await listen(), { permitted: (...what) => void permitted.push(what) }).enter(ROOM)
  await vi.waitFor(() => expect(room.ready).toBe(true))
  server.emit('room.permissions', { room: ROOM, permissions: ['task.edit'] })
  await vi.waitFor(() => expect(room.can('board.edit')).toBe(false))
  server.emit('room.permissions', { room: 'tenant:t1', permissions: [] })
  await vi.waitFor(() => expect(permitted).toEqual([[ROOM, ['task.edit']], ['tenant:t1', []]]))
  expect(room.can('task.edit')).toBe(true)
})

test('a tenant that lets nobody in is told from a server that is away, and tried again', async () => {
  let out = true
  const port = await listen()
  server.use((_socket, next) => {
    const error = { code: 'FORBIDDEN', message: 'Suspended', details: { reason: 'tenant_suspended' } }
    next(out ? Object.assign(new Error('no'), { data: error }) : undefined)
  })
  connect(port)
  await vi.waitFor(() => expect(live.barred?.details).toEqual({ reason: 'tenant_suspended' }))
  out = false
  live.retry()
  await vi.waitFor(() => expect([live.connection, live.barred]).toEqual(['live', null]))
})
