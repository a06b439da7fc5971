import { html, nothing, type TemplateResult } from 'lit'

import type { Branding } from '../brand'
import { sign } from './top-bar'

interface More {
  lead?: string
  notice?: string
  look?: Branding
}

/** The frame of all pages outside the workspace: one card in the middle. */
export function front(title: string, content: unknown, { lead = '', notice = '', look = {} }: More = {}): TemplateResult {
  return html`<main class="sign-in">
    <div class="sign-in-card">
      <header>${sign({ logo_url: look.logo_url })}<h1>${title}</h1></header>
      ${lead ? html`<p class="lead">${lead}</p>` : nothing}
      ${notice ? html`<p class="problem" role="alert">${notice}</p>` : nothing} ${content}
    </div>
  </main>`
}
