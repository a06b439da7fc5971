import { afterEach, expect, test, vi } from 'vitest'

import { lookOfThisPage, productOf, wear } from '../src/brand'

afterEach(() => vi.unstubAllGlobals())

function sheet() {
  const set = new Map<string, string>()
  const style = {
    setProperty: (name: string, value: string) => void set.set(name, value),
    removeProperty: (name: string) => void set.delete(name),
  }
  const toggleAttribute = (name: string, on: boolean) => (on ? set.set(name, '') : set.delete(name))
  return { set, root: { style, toggleAttribute } as unknown as HTMLElement }
}

test('a tenant colours the page, and the next one takes that back', () => {
  const { set, root } = sheet()
  wear({ primary_color: '#ffcc00', primary_text_color: '#000000', header_color: null }, root)
  expect(Object.fromEntries(set)).toEqual({ '--brand': '#ffcc00', '--brand-ink': '#000000' })
  wear({ header_color: '#112233', header_text_color: '#ffffff' }, root)
  expect(Object.fromEntries(set)).toEqual({ '--header': '#112233', '--header-ink': '#ffffff', 'data-header': '' })
  wear(null, root)
  expect(set.size).toBe(0)
})

test('the product has a name of its own, or ours', () => {
  expect(productOf({ product_name: 'Acme Works' })).toBe('Acme Works')
  expect(productOf({ product_name: null })).toBe('Atrium')
  expect(productOf(undefined)).toBe('Atrium')
})

test('the sign-in page asks by slug, else by its host name, and does without an answer', async () => {
  const asked: string[] = []
  vi.stubGlobal('fetch', (path: string) => {
    asked.push(path)
    return Promise.resolve(new Response(JSON.stringify({ success: true, data: { branding: { product_name: 'A' } } })))
  })
  expect(await lookOfThisPage({ hostname: 'work.acme.example', search: '?tenant=ac%26me' })).toEqual({ product_name: 'A' })
  await lookOfThisPage({ hostname: 'work.acme.example', search: '' })
  expect(asked).toEqual(['/api/v1/branding?slug=ac%26me', '/api/v1/branding?domain=work.acme.example'])
  vi.stubGlobal('fetch', () => Promise.reject(new Error('away')))
  expect(await lookOfThisPage({ hostname: 'x.example', search: '' })).toEqual({})
})
