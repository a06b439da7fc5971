import { expect, test } from 'vitest'

import { hashOf, routeOf } from '../src/ui/route'

test('links in mails bring a screen and a token', () => {
  const { screen, asked } = routeOf('#/invitation?token=a-b_c')
  expect([screen, asked.get('token')]).toEqual(['invitation', 'a-b_c'])
  expect(routeOf('#/reset-password?token=x').screen).toBe('reset-password')
})

test('boards and cards are where they were, and anything else is the first page', () => {
  expect(routeOf('#/projects/p1/tasks/t1')).toMatchObject({ screen: null, project: 'p1', task: 't1' })
  expect(routeOf(hashOf({ project: 'p1' }))).toMatchObject({ project: 'p1', task: null })
  expect(routeOf('#/nowhere')).toMatchObject({ screen: null, project: null })
})
