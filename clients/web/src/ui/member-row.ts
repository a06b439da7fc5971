import { html, nothing, type TemplateResult } from 'lit'
import { live } from 'lit/directives/live.js'

import type { Member } from '../entities'
import { givable, mayChange, roleChange, roleName, type CustomRole } from '../roles'
import { avatar } from './avatar'
import { dateOf } from './due'

export interface May {
  /** One's own role, and oneself. */
  mine: string
  me: string
  manage: boolean
  roles: CustomRole[]
}

type Act = (name: string, payload: Record<string, unknown>, doing: string) => void

/** One member; whoever may not change her sees no buttons. */
export function memberRow(member: Member, may: May, act: Act): TemplateResult {
  const change = may.manage && member.id !== may.me && mayChange(may.mine, member)
  const until = member.expires_at ? `until ${dateOf(member.expires_at)}` : ''
  const notes = [member.id === may.me && 'you', member.kind === 'service' && 'a program', until].filter(Boolean).join(', ')
  return html`<li class="row member" data-member=${member.id}>
    ${avatar(member)}
    <div class="row-main"><strong>${member.name}</strong>${notes ? html`<span class="field-hint">${notes}</span>` : nothing}</div>
    ${out(member) ? html`<span class="chip bug">Deactivated</span>` : nothing}
    ${change ? controls(member, may, act) : html`<span class="role">${roleName(member, may.roles)}</span>`}
  </li>`
}

function controls(member: Member, may: May, act: Act): TemplateResult {
  const user_id = member.id
  const value = member.role_id ?? member.role
  // A guest needs an end, which is asked for where people are invited.
  const choices = givable(may.mine, may.roles).filter((choice) => choice.value !== 'guest' || member.expires_at)
  const pick = (event: Event): void => {
    const role = roleChange((event.target as HTMLSelectElement).value)
    act('member.update', { user_id, ...role }, `change the role of ${member.name}`)
  }
  const remove = (): void => {
    if (confirm(`Remove ${member.name} from the team? Open windows close at once.`)) act('member.remove', { user_id }, `remove ${member.name}`)
  }
  return html`<select class="role-choice" aria-label="Role of ${member.name}" @change=${pick}>
      ${choices.map((choice) => html`<option value=${choice.value} .selected=${live(choice.value === value)}>${choice.label}</option>`)}
    </select>
    ${member.status === undefined ? nothing : activation(member, act)}
    <button class="small" aria-label="Remove ${member.name}" @click=${remove}>Remove</button>`
}

function activation(member: Member, act: Act): TemplateResult {
  const [name, label] = out(member) ? ['member.activate', 'Activate'] : ['member.deactivate', 'Deactivate']
  const go = (): void => act(name!, { user_id: member.id }, `${label!.toLowerCase()} ${member.name}`)
  return html`<button class="small" aria-label="${label} ${member.name}" @click=${go}>${label}</button>`
}

function out(member: Member): boolean {
  return member.status !== undefined && member.status !== 'active'
}
