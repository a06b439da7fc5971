import { expect, test } from 'vitest'

import { Room, type JoinReply } from '../src/room'

const event = (seq: number, data: Record<string, unknown> = {}) => ({
  room: 'project:p1', seq, at: '', actor: null, command_id: null, data,
})
const snapshot = (seq: number, title: string): JoinReply => ({
  room: 'project:p1', epoch: 1, seq, mode: 'snapshot', snapshot: { tasks: [{ id: 't1', title }] },
})

test('events apply once and in order; a hole is reported and leaves the store alone', () => {
  const room = new Room('project:p1')
  room.joining()
  room.joined(snapshot(4, 'A'))
  expect(room.hear(event(5, { task: { id: 't1', title: 'B' } }))).toBe('applied')
  expect(room.hear(event(5, { task: { id: 't1', title: 'C' } }))).toBe('repeat')
  expect(room.hear(event(7, { task: { id: 't1', title: 'D' } }))).toBe('hole')
  expect(room.store.one('tasks', 't1')).toMatchObject({ title: 'B' })
  expect(room.cursor).toEqual({ epoch: 1, seq: 5 })
})

test('what arrives during a join waits for the reply', () => {
  const room = new Room('project:p1')
  room.joining()
  expect(room.hear(event(4))).toBe('held')
  expect(room.hear(event(5, { task: { id: 't1', title: 'B' } }))).toBe('held')
  const { fresh, whole } = room.joined(snapshot(4, 'A'))
  expect(fresh.map(({ seq }) => seq)).toEqual([5])
  expect(whole).toBe(true)
  expect(room.store.one('tasks', 't1')).toMatchObject({ title: 'B' })
})

test('a rejoin with missed events goes on where it stopped', () => {
  const room = new Room('project:p1')
  room.joined(snapshot(4, 'A'))
  room.joining()
  const events = [event(5), event(6, { task: { id: 't1', title: 'C' } })]
  const { fresh } = room.joined({ room: 'project:p1', epoch: 1, seq: 6, mode: 'events', events })
  expect(fresh).toHaveLength(2)
  expect(room.cursor).toEqual({ epoch: 1, seq: 6 })
})

test('a reply that leaves something out is not whole', () => {
  const room = new Room('project:p1')
  room.joined(snapshot(4, 'A'))
  const { whole } = room.joined({ room: 'project:p1', epoch: 1, seq: 6, mode: 'events', events: [event(6)] })
  expect(whole).toBe(false)
  expect(room.cursor?.seq).toBe(4)
})

test('a snapshot in another epoch replaces all', () => {
  const room = new Room('project:p1')
  room.joined(snapshot(9, 'A'))
  room.joined({ ...snapshot(2, 'Z'), epoch: 2 })
  expect(room.cursor).toEqual({ epoch: 2, seq: 2 })
  expect(room.store.one('tasks', 't1')).toMatchObject({ title: 'Z' })
})

test('permissions come as a list or a map, and silence is leave to try', () => {
  const room = new Room('project:p1')
  room.joined(snapshot(1, 'A'))
  expect(room.can('task.edit')).toBe(true)
  room.joined({ ...snapshot(1, 'A'), permissions: ['task.read'] })
  expect(room.can('task.edit')).toBe(false)
  room.joined({ ...snapshot(1, 'A'), permissions: { 'task.edit': true, 'board.edit': false } })
  expect([room.can('task.edit'), room.can('board.edit')]).toEqual([true, false])
})

test('presence follows joins, changes and leaves', () => {
  const { presence } = new Room('project:p1')
  presence.replace([{ user_id: 'u1', name: 'Alice', status: 'online' }])
  presence.change({ joined: [{ user_id: 'u2', name: 'Bob' }] })
  presence.change({ updated: [{ user_id: 'u2', status: 'away', focus: { kind: 'task', id: 't1' } }], left: ['u1'] })
  expect(presence.members).toEqual([{ id: 'u2', name: 'Bob', status: 'away', focus: { kind: 'task', id: 't1' } }])
  presence.replace({ members: [], count: 512 })
  expect(presence.count).toBe(512)
})
