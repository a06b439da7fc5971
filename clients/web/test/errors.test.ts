import { expect, test } from 'vitest'

import { reasonOf, Refused, span, whyNot } from '../src/errors'
import { besideFields } from '../src/ui/form'

test('pauses are told in seconds or minutes, never too short', () => {
  expect([span(0.2), span(12.48), span(90), span(91), span(871)]).toEqual(['1 second', '13 seconds', '90 seconds', '2 minutes', '15 minutes'])
})

test('what is wrong with fields stands beside them, unless one of them is not on the form', () => {
  const error = { code: 'VALIDATION_ERROR', message: 'The payload does not fit', field_errors: { email: ['is taken'] } }
  expect(besideFields(error, new Set(['email', 'name']))).toEqual({ email: 'Is taken.' })
  expect(besideFields(error, new Set(['name']))).toBeUndefined()
  expect(whyNot(error)).toBe('Email is taken.')
})

test('the reason of a refusal', () => {
  expect(reasonOf(new Refused({ code: 'FORBIDDEN', message: '', details: { reason: 'proof_needed' } }))).toBe('proof_needed')
  expect(reasonOf(new Error('other'))).toBe('')
})
