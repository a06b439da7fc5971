import { expect, test } from 'vitest'

import { pluralOf, Store } from '../src/store'

const column = { id: 'c1', board_id: 'b1', name: 'To do', position: 'a0', wip_limit: null }

test('a snapshot may name one project or a list of them', () => {
  for (const snapshot of [{ project: { id: 'p1', name: 'Site' } }, { projects: [{ id: 'p1', name: 'Site' }] }]) {
    const store = new Store()
    store.replace(snapshot)
    expect(store.one('projects', 'p1')).toEqual({ id: 'p1', name: 'Site' })
  }
})

test('a partial entity changes only the fields it holds', () => {
  const store = new Store()
  store.replace({ columns: [column] })
  store.apply({ column: { id: 'c1', wip_limit: 3 }, was: { wip_limit: null } })
  expect(store.all('columns')).toEqual([{ ...column, wip_limit: 3 }])
})

test('removed takes an entity away, and a restored one comes back whole', () => {
  const store = new Store()
  store.replace({ tasks: [{ id: 't1', title: 'A' }] })
  store.apply({ task: { id: 't1', removed: true } })
  expect(store.all('tasks')).toEqual([])
  store.apply({ task: { id: 't1', title: 'A' } })
  expect(store.all('tasks')).toHaveLength(1)
})

test('the plural of an event holds many', () => {
  const store = new Store()
  store.apply({ tasks: [{ id: 't1' }, { id: 't2' }] })
  store.apply({ tasks: [{ id: 't1', removed: true }] })
  expect(store.all('tasks')).toEqual([{ id: 't2' }])
})

test('old values, counts and texts are no entities', () => {
  const store = new Store()
  store.apply({ was: { id: 't1', title: 'old' }, note: 'moved', positions: ['a', 'b'] })
  expect(store.all('tasks')).toEqual([])
  expect(store.all('positions')).toEqual([])
})

test('plurals as the protocol has them', () => {
  expect(['task', 'status', 'time_entry', 'board'].map(pluralOf)).toEqual(['tasks', 'statuses', 'time_entries', 'boards'])
})
