import { expect, test } from 'vitest'

import { givable, mayChange, roleChange, roleName } from '../src/roles'

const lead = { id: 'r1', name: 'Lead', base: 'manager' as const }
const values = (mine: string): string[] => givable(mine, [lead]).map(({ value }) => value)

test('nobody is offered a role above his own, of either kind', () => {
  expect(values('owner')).toEqual(['owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest', 'r1'])
  expect(values('manager')).toEqual(['manager', 'member', 'viewer', 'client', 'guest', 'r1'])
  expect(values('viewer')).toEqual(['viewer', 'client', 'guest'])
  expect(values('')).toEqual([])
})

test('a role of the tenant is given by its id, one of the seven by its name', () => {
  expect(roleChange('viewer')).toEqual({ role: 'viewer' })
  expect(roleChange('r1')).toEqual({ role_id: 'r1' })
})

test('members are named by what they have, and those above one are not one’s to change', () => {
  const member = { id: 'u1', name: 'Bob', role: 'manager', role_id: 'r1' }
  expect(roleName(member, [lead])).toBe('Lead')
  expect(roleName({ ...member, role_id: null }, [lead])).toBe('Manager')
  expect([mayChange('owner', member), mayChange('manager', member), mayChange('member', member)]).toEqual([true, true, false])
})
