import { expect, test } from 'vitest'

import { lanesOf } from '../src/lanes'
import { Store } from '../src/store'
import { neighbour, placeTowards } from '../src/ui/keys'

const store = new Store()
store.replace({
  columns: ['a0', 'a1', 'a2'].map((position, n) => ({ id: `c${n}`, board_id: 'b', name: `c${n}`, position, wip_limit: null })),
  tasks: [['t1', 'c0'], ['t2', 'c0'], ['t3', 'c0'], ['t4', 'c2']].map(([id, column_id]) => ({ id, title: id, column_id, position: 'a0' })),
})
const lanes = lanesOf(store, [], 'b')

test('arrows go from card to card, over empty columns', () => {
  expect(neighbour(lanes, 't1', 'ArrowDown')).toBe('t2')
  expect(neighbour(lanes, 't1', 'ArrowUp')).toBeNull()
  expect(neighbour(lanes, 't3', 'ArrowRight')).toBe('t4')
  expect(neighbour(lanes, 't4', 'ArrowRight')).toBeNull()
})

test('Control and an arrow takes the card along, into empty columns too', () => {
  expect(placeTowards(lanes, 't2', 'ArrowUp')?.place).toEqual({ column_id: 'c0', before_id: 't1' })
  expect(placeTowards(lanes, 't2', 'ArrowDown')?.place).toEqual({ column_id: 'c0', after_id: 't3' })
  expect(placeTowards(lanes, 't2', 'ArrowRight')?.place).toEqual({ column_id: 'c1' })
  expect(placeTowards(lanes, 't3', 'ArrowDown')).toBeNull()
  expect(placeTowards(lanes, 't3', 'ArrowLeft')).toBeNull()
})
