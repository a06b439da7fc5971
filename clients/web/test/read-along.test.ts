import { expect, test } from 'vitest'

import { aboutChecklists } from '../src/ui/read-along'

test('checklists are read again for an event about those of their own task', () => {
  expect(aboutChecklists({ checklist: { id: 'l', task_id: 'a' } }, 'a')).toBe(true)
  expect(aboutChecklists({ checklist_item: { id: 'i', task_id: 'a' }, task: { id: 'a', checklist_total: 1 } }, 'a')).toBe(true)
  expect(aboutChecklists({ task: { id: 'a', checklist_total: 3 } }, 'a'), 'merged').toBe(true)
})

test('and not for one about another task', () => {
  expect(aboutChecklists({ checklist: { id: 'l', task_id: 'b' } }, 'a')).toBe(false)
  expect(aboutChecklists({ checklist_item: { id: 'i', task_id: 'b' }, task: { id: 'b', checklist_total: 1 } }, 'a')).toBe(false)
  expect(aboutChecklists({ task: { id: 'a', title: 'x' } }, 'a')).toBe(false)
})
