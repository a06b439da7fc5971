import { html, nothing, type TemplateResult } from 'lit'

import { productOf, type Branding } from '../brand'
import type { Connection } from '../live'
import type { Presence } from '../presence'
import { avatar } from './avatar'
import { chevron, door, mark, people } from './icons'
import type { Screen } from './route'

export interface TopBar {
  user: { id: string; name: string }
  tenant: string
  branding: Branding | null
  project: string | null
  screen: Screen | null
  /** Whether one may see who works here. */
  members: boolean
  presence: Presence | null
  connection: Connection
  waiting: number
  signOut: () => void
}

const FACES = 5

export function topBar(bar: TopBar): TemplateResult {
  return html`<header class="top-bar">
    <nav class="crumbs" aria-label="You are here">
      <a class="home" href="#/" aria-label="All projects">${sign(bar.branding)}<span class="tenant">${bar.tenant}</span></a>
      ${bar.project === null ? nothing : html`<span class="crumb-gap">${chevron}</span><h1>${bar.project}</h1>`}
    </nav>
    ${bar.presence ? faces(bar.presence, bar.user.id) : nothing} ${connection(bar)}
    <div class="me">
      ${bar.members ? html`<a class="button quiet icon-only" href="#/members" aria-label="Members" title="Members" aria-current=${bar.screen === 'members' ? 'page' : 'false'}>${people}</a>` : nothing}
      <a class="me-link" href="#/account" aria-label="Your account" aria-current=${bar.screen === 'account' ? 'page' : 'false'}>${avatar(bar.user, 'you')}</a>
      <button class="quiet icon-only" aria-label="Sign out" title="Sign out" @click=${bar.signOut}>${door}</button>
    </div>
  </header>`
}

/** The tenant's logo and the name of the product, where it has chosen them; else our mark. */
export function sign(branding: Branding | null): TemplateResult {
  const logo = branding?.logo_url ? html`<img class="logo" src=${branding.logo_url} alt="" />` : mark
  return branding?.product_name ? html`${logo}<span class="product">${productOf(branding)}</span>` : logo
}

function faces(presence: Presence, me: string): TemplateResult | typeof nothing {
  const others = presence.members.filter((member) => member.id !== me)
  const shown = others.slice(0, FACES)
  const more = Math.max(presence.count - 1, others.length) - shown.length
  if (!shown.length && more <= 0) return nothing
  return html`<ul class="faces" aria-label="Also here">
    ${shown.map((member) => html`<li class=${member.status}>${avatar(member, member.status === 'online' ? 'here now' : member.status)}</li>`)}
    ${more > 0 ? html`<li class="avatar more">+${more}</li>` : nothing}
  </ul>`
}

function connection({ connection, waiting }: TopBar): TemplateResult {
  const text = { live: 'Live', connecting: 'Connecting…', reconnecting: 'Reconnecting…' }[connection]
  const kept = connection !== 'live' && waiting > 0
  return html`<p class="connection ${connection}" role="status">
    <span class="dot"></span><span class="connection-text">${text}</span>
    ${kept ? html`<span class="kept">${waiting} ${waiting === 1 ? 'change' : 'changes'} kept</span>` : nothing}
  </p>`
}
