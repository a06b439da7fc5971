import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'

import type { Member } from '../entities'
import type { Live } from '../live'
import type { CustomRole } from '../roles'
import type { Room } from '../room'
import type { Session } from '../session'
import './invitations'
import { LightElement } from './light'
import { memberRow } from './member-row'

/** The people of the tenant, live, and what one may do about them. */
@customElement('atrium-members')
export class Members extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  /** Raised when anything in the room has changed. */
  @property({ type: Number }) revision = 0
  /** Raised when the invitations have changed. */
  @property({ type: Number }) invited = 0

  protected override render(): TemplateResult {
    const { room, session } = this
    const me = session.user?.id ?? ''
    const members = room.store.all<Member>('members').sort((a, b) => a.name.localeCompare(b.name))
    const roles = room.store.all<CustomRole>('roles')
    const mine = members.find((member) => member.id === me)?.role ?? ''
    const may = { mine, manage: room.ready && room.can('member.manage'), roles, me }
    const act = (name: string, payload: Record<string, unknown>, doing: string): void => void this.live.change(name, payload, doing)
    return html`<main class="page">
      <h1>Members</h1>
      <section class="sheet" aria-labelledby="members-title">
        <h2 id="members-title">${session.tenant?.name ?? ''} <span class="chip">${members.length}</span></h2>
        <ul class="rows" aria-busy=${!room.ready}>
          ${repeat(members, (member) => member.id, (member) => memberRow(member, may, act))}
        </ul>
      </section>
      ${room.ready && room.can('member.invite')
        ? html`<atrium-invitations .session=${session} .mine=${mine} .invited=${this.invited}></atrium-invitations>`
        : nothing}
    </main>`
  }
}
