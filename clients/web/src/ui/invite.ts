import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { givable } from '../roles'
import type { Session } from '../session'
import { dayOf, endOf } from './due'
import { Form, type Values } from './form'
import { LightElement } from './light'
import { linkBox } from './link-box'

/** Invites one person by mail, or makes a link. */
@customElement('atrium-invite')
export class Invite extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() mine = ''
  @state() private chosen = 'member'
  @state() private link = ''
  readonly #form = new Form(this)

  async #invite({ email, role, expires_at }: Values, form: HTMLFormElement): Promise<string> {
    this.link = ''
    const body = { role, ...(email && { email }), ...(expires_at && { expires_at: endOf(expires_at) }) }
    const { link } = await this.session.call('POST', `/tenants/${this.session.tenant?.id}/invitations`, body)
    this.link = (link as string | null) ?? ''
    form.reset()
    this.chosen = 'member'
    return email ? `The invitation to ${email} is on its way.` : ''
  }

  protected override render(): TemplateResult {
    const form = this.#form
    // An invitation is for one of the seven; a role of the tenant's own is given afterwards.
    const choices = givable(this.mine).map(({ value, label, means }) => ({ value, label: `${label}: ${means}` }))
    return html`<form class="two" @submit=${(event: SubmitEvent) => form.submit(event, (values, inputs) => this.#invite(values, inputs))}>
        ${form.field('email', 'Email', { type: 'email', autocomplete: 'off', hint: 'Leave it empty for a link that you hand over yourself.' })}
        ${form.field('role', 'Role', { value: this.chosen, choices, change: (event) => (this.chosen = (event.target as HTMLSelectElement).value) })}
        ${this.chosen === 'guest' ? form.field('expires_at', 'Until', { type: 'date', min: dayOf(new Date().toISOString()), required: true }) : nothing}
        <div class="form-end">${form.said()}<button class="primary" ?disabled=${form.off}>Invite</button></div>
      </form>
      ${this.link ? linkBox(this.link) : nothing}`
  }
}
