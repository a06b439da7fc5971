import { expect, test } from 'vitest'

import { barredBy, movedAway, projectClosed, sessionOver } from '../src/farewell'

test('whoever is put out of a project hears why', () => {
  expect(projectClosed('deleted')).toBe('This project has been deleted.')
  expect(projectClosed('revoked')).toBe('You no longer have access to this project.')
  expect(projectClosed('NOT_FOUND')).toMatch('no such project')
})

test('a tenant that lets nobody in has its reason, and one we do not know its words', () => {
  const error = (reason?: string) => ({ code: 'FORBIDDEN', message: 'Not now', details: { reason } })
  expect(barredBy(error('tenant_suspended')).title).toBe('This team is suspended')
  expect(barredBy(error('second_factor_required')).text).toMatch('authenticator app')
  expect(barredBy(error()).text).toBe('Not now.')
})

test('the end of a session and of a membership are told apart', () => {
  expect(sessionOver(true)).toMatch('another window')
  expect(sessionOver(false)).toMatch('has ended')
  expect(movedAway('Acme', 'Rival')).toBe('You are no longer a member of Acme. This is Rival now.')
  expect(movedAway('Acme', null)).toBe('You are no longer a member of Acme.')
})
