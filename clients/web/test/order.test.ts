import { expect, test } from 'vitest'

import { byPosition } from '../src/order'

test('positions compare byte by byte, so capitals come first', () => {
  const placed = ['a0', 'B0', 'a0V', 'Zz', 'a'].map((position) => ({ id: 'x', position }))
  expect(placed.sort(byPosition).map((item) => item.position)).toEqual(['B0', 'Zz', 'a', 'a0', 'a0V'])
})

test('the id settles equal positions', () => {
  const placed = ['b', 'a', 'B'].map((id) => ({ id, position: 'a0' }))
  expect(placed.sort(byPosition).map((item) => item.id)).toEqual(['B', 'a', 'b'])
})
