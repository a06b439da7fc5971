import { expect, test, vi } from 'vitest'

import type { Reply } from '../src/errors'
import { Outbox, type OutboxOptions, type Pending } from '../src/outbox'

const ok = (seq: number): Reply => ({ success: true, data: { seq }, meta: { room: 'r', seq } })
const no = (code: string, retry_after?: number): Reply => ({ success: false, error: { code, message: code, retry_after } })

/** An outbox whose server gives these answers in turn; an Error is a connection that broke. */
function scripted(answers: (Reply | Error)[], more: Partial<OutboxOptions> = {}) {
  const sent: [string, unknown][] = []
  const refused = vi.fn()
  const pauses: number[] = []
  const outbox = new Outbox({
    send: async (name, payload) => {
      sent.push([name, payload.command_id])
      const answer = answers.shift() ?? ok(99)
      if (answer instanceof Error) throw answer
      return answer
    },
    renew: async () => 'token',
    refused,
    changed: () => undefined,
    reached: () => 0,
    pause: async (seconds) => void pauses.push(seconds),
    ...more,
  })
  return { outbox, sent, refused, pauses }
}

test('a change made while offline is sent once the connection is up', async () => {
  const { outbox, sent } = scripted([ok(7)])
  const answer = outbox.add('r', 'task.move', { task_id: 't1' }, 'move the card')
  expect(sent).toEqual([])
  expect(outbox.waiting).toBe(1)
  outbox.open()
  expect(await answer).toEqual({ seq: 7 })
})

test('an unanswered command is sent again with the same id, before those behind it', async () => {
  const { outbox, sent } = scripted([new Error('broken'), ok(1), ok(2)])
  outbox.open()
  const answers = [outbox.add('r', 'one', {}, ''), outbox.add('r', 'two', {}, '')]
  await Promise.all(answers)
  expect(sent.map(([name]) => name)).toEqual(['one', 'one', 'two'])
  expect(sent[0]![1]).toBe(sent[1]![1])
  expect(sent[2]![1]).not.toBe(sent[1]![1])
})

test('a change is drawn until its event is heard, whichever of ack and event comes first', async () => {
  const { outbox } = scripted([ok(7), ok(8)])
  outbox.open()
  await outbox.add('r', 'ack first', {}, '')
  expect(outbox.drawn('r')).toHaveLength(1)
  outbox.heard('r', 7)
  expect(outbox.drawn('r')).toHaveLength(0)

  const answer = outbox.add('r', 'event first', {}, '')
  outbox.heard('r', 8, outbox.drawn('r')[0]!.command_id)
  expect(outbox.drawn('r')).toHaveLength(0)
  expect(outbox.waiting).toBe(1)
  await answer
  expect(outbox.waiting).toBe(0)
})

test('a late ack of what a snapshot already held is not drawn again', async () => {
  const { outbox } = scripted([ok(7)], { reached: () => 9 })
  outbox.open()
  await outbox.add('r', 'task.move', {}, '')
  expect(outbox.drawn('r')).toHaveLength(0)
})

test('a refusal takes the change back and says why; what follows goes on', async () => {
  const { outbox, refused } = scripted([no('CONFLICT'), ok(2)])
  outbox.open()
  const [first, second] = [outbox.add('r', 'one', {}, 'move the card'), outbox.add('r', 'two', {}, '')]
  expect(await first).toBeNull()
  expect(refused.mock.calls[0]![0]).toMatchObject({ name: 'one', doing: 'move the card' })
  expect(await second).toEqual({ seq: 2 })
})

test('a busy server is asked again when it says, an old token is renewed, a fault is not asked for ever', async () => {
  const renew = vi.fn(async () => 'token')
  const faults = Array.from({ length: 3 }, () => no('INTERNAL'))
  const { outbox, sent, pauses, refused } = scripted([no('RATE_LIMITED', 2.5), no('UNAUTHORIZED'), ok(1), ...faults], { renew })
  outbox.open()
  expect(await outbox.add('r', 'one', {}, '')).toEqual({ seq: 1 })
  expect(renew).toHaveBeenCalledOnce()
  expect(pauses).toEqual([2.5])
  expect(new Set(sent.map(([, id]) => id)).size).toBe(1)
  expect(await outbox.add('r', 'two', {}, '')).toBeNull()
  expect(refused).toHaveBeenCalledOnce()
})

test('what waits outlives a reload of the page', async () => {
  let kept: Pending[] = []
  const keep = { load: () => structuredClone(kept), save: (pending: Pending[]) => void (kept = structuredClone(pending)) }
  const before = scripted([], { keep })
  void before.outbox.add('r', 'task.create', { title: 'A' }, 'add the card')
  const after = scripted([ok(1)], { keep })
  expect(after.outbox.drawn('r')).toHaveLength(1)
  after.outbox.open()
  await vi.waitFor(() => expect(after.sent).toEqual([['task.create', kept[0]?.command_id ?? expect.any(String)]]))
  await vi.waitFor(() => expect(after.outbox.waiting).toBe(0))
})
