import { expect, test } from 'vitest'

import { newId } from '../src/ids'

test('a version 7 UUID that carries the time', () => {
  const id = newId()
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(Math.abs(parseInt(id.replace('-', '').slice(0, 12), 16) - Date.now())).toBeLessThan(1000)
  expect(new Set(Array.from({ length: 1000 }, newId)).size).toBe(1000)
})
