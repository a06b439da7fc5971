import { describe, expect, test } from 'vitest'

import { lanesOf, placeAt } from '../src/lanes'
import type { Pending } from '../src/outbox'
import { Store } from '../src/store'

const column = (id: string, position: string, board_id = 'b1') => ({ id, board_id, name: id, position, wip_limit: null })
const task = (id: string, column_id: string, position: string) => ({ id, key: id, title: id, column_id, position })
const pending = (name: string, payload: Record<string, unknown>): Pending => ({
  command_id: `cmd-${name}`, room: 'project:p1', name, payload, doing: '', landed: false, seq: null,
})

function board(): Store {
  const store = new Store()
  store.replace({
    columns: [column('doing', 'a1'), column('todo', 'a0'), column('elsewhere', 'a0', 'b2')],
    tasks: [task('t2', 'todo', 'a1'), task('t1', 'todo', 'a0'), task('t3', 'doing', 'a0'), task('x', 'elsewhere', 'a0')],
  })
  return store
}

const drawn = (...changes: Pending[]) =>
  lanesOf(board(), changes, 'b1').map((lane) => [lane.column.name, ...lane.cards.map((card) => card.title)])

test('columns and cards stand by position, those of other boards elsewhere', () => {
  expect(drawn()).toEqual([['todo', 't1', 't2'], ['doing', 't3']])
})

describe('pending changes are drawn on top', () => {
  test('a move before a card, after a card, and to the end', () => {
    expect(drawn(pending('task.move', { task_id: 't2', column_id: 'doing', before_id: 't3' }))).toEqual([
      ['todo', 't1'], ['doing', 't2', 't3'],
    ])
    expect(drawn(pending('task.move', { task_id: 't1', column_id: 'todo', after_id: 't2' }))).toEqual([
      ['todo', 't2', 't1'], ['doing', 't3'],
    ])
    expect(drawn(pending('task.move', { task_id: 't1', column_id: 'doing' }))).toEqual([['todo', 't2'], ['doing', 't3', 't1']])
  })

  test('a move next to a card that has gone meanwhile lands at the end', () => {
    expect(drawn(pending('task.move', { task_id: 't1', column_id: 'doing', before_id: 'gone' }))[1]).toEqual(['doing', 't3', 't1'])
  })

  test('new cards and columns, deletions', () => {
    expect(
      drawn(
        pending('task.create', { id: 'n1', title: 'New', column_id: 'doing' }),
        pending('task.delete', { task_id: 't1' }),
        pending('column.create', { id: 'n2', name: 'done', board_id: 'b1' }),
      ),
    ).toEqual([['todo', 't2'], ['doing', 't3', 'New'], ['done']])
  })

  test('changes of a card and of a limit, without touching the store', () => {
    const store = board()
    const lanes = lanesOf(
      store,
      [
        pending('task.update', { task_id: 't1', changes: { title: 'Renamed' } }),
        pending('column.set_limit', { column_id: 'todo', limit: 2 }),
      ],
      'b1',
    )
    expect(lanes[0]?.cards[0]).toMatchObject({ title: 'Renamed', waiting: true })
    expect(lanes[0]?.column.wip_limit).toBe(2)
    expect(store.one('tasks', 't1')).toMatchObject({ title: 't1' })
    expect(store.one('columns', 'todo')).toMatchObject({ wip_limit: null })
  })
})

test('a card beyond the window, known in part, is not drawn', () => {
  const store = board()
  store.apply({ task: { id: 'far', column_id: 'todo', position: 'a0', version: 3 } })
  expect(lanesOf(store, [], 'b1')[0]?.cards.map((card) => card.id)).toEqual(['t1', 't2'])
})

test('a place is named by its neighbour', () => {
  const [todo] = lanesOf(board(), [], 'b1')
  expect(placeAt('todo', todo!.cards, 0)).toEqual({ column_id: 'todo', before_id: 't1' })
  expect(placeAt('todo', todo!.cards, 2)).toEqual({ column_id: 'todo', after_id: 't2' })
  expect(placeAt('todo', [], 0)).toEqual({ column_id: 'todo' })
})
