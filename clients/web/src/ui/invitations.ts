import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { nameOf } from '../roles'
import type { Session } from '../session'
import { dateOf } from './due'
import { Form } from './form'
import './invite'
import { LightElement } from './light'
import { linkBox } from './link-box'

export interface Invitation {
  id: string
  email: string | null
  name: string
  role: string
  status: string
  uses: number
  max_uses: number
  valid_until: string
}

const OPEN = new Set(['pending', 'undelivered'])

/** Invite people, and see, repeat and withdraw what is under way. */
@customElement('atrium-invitations')
export class Invitations extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() mine = ''
  /** Raised when the room says that invitations have changed: who may see them asks again. */
  @property({ type: Number }) invited = 0
  @state() private open: Invitation[] = []
  @state() private link = ''
  readonly #form = new Form(this)
  #asked = 0

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('invited')) void this.#load()
  }

  get #path(): string {
    return `/tenants/${this.session.tenant?.id}/invitations`
  }

  #load(): Promise<void> {
    const asked = ++this.#asked
    return this.#form.read(async () => {
      const invitations = (await this.session.list(this.#path, 'invitations')) as Invitation[]
      // An answer that was overtaken by a later one is old news.
      if (asked === this.#asked) this.open = invitations.filter(({ status }) => OPEN.has(status))
    })
  }

  async #resend({ id, email, name }: Invitation): Promise<string> {
    const { link } = await this.session.call('POST', `${this.#path}/${id}/resend`, {})
    this.link = (link as string | null) ?? ''
    return email ? `Sent again to ${email}.` : `A new link${name ? ` for ${name}` : ''}; the one before has ended.`
  }

  async #withdraw({ id }: Invitation): Promise<string> {
    await this.session.call('DELETE', `${this.#path}/${id}`)
    return 'The invitation is withdrawn.'
  }

  protected override render(): TemplateResult {
    return html`<section class="sheet" aria-labelledby="invite-title">
        <h2 id="invite-title">Invite somebody</h2>
        <atrium-invite .session=${this.session} .mine=${this.mine}></atrium-invite>
      </section>
      <section class="sheet" aria-labelledby="invitations-title">
        <h2 id="invitations-title">Invitations under way</h2>
        ${this.#form.said()} ${this.link ? linkBox(this.link) : nothing}
        ${this.open.length ? html`<ul class="rows">${this.open.map((invitation) => this.#row(invitation))}</ul>` : html`<p class="field-hint">None at the moment.</p>`}
      </section>`
  }

  #row(invitation: Invitation): TemplateResult {
    const { email, name, role, status, uses, max_uses, valid_until } = invitation
    const who = email ?? (name ? `Link for ${name}` : 'Link')
    const used = max_uses > 1 ? `, used ${uses} of ${max_uses} times` : ''
    return html`<li class="row">
      <div class="row-main"><strong>${who}</strong><span class="field-hint">${nameOf(role)}, until ${dateOf(valid_until)}${used}</span></div>
      ${status === 'undelivered' ? html`<span class="chip bug">Not delivered</span>` : nothing}
      <button class="small" aria-label="Send again: ${who}" @click=${() => this.#form.run(() => this.#resend(invitation))}>${email ? 'Send again' : 'New link'}</button>
      <button class="small" aria-label="Withdraw: ${who}" @click=${() => this.#form.run(() => this.#withdraw(invitation))}>Withdraw</button>
    </li>`
  }
}
