import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { knowsPasskeys, makePasskey } from '../passkey'
import type { Session } from '../session'
import type { Guarded } from './account'
import { dateOf } from './due'
import { Form } from './form'
import { LightElement } from './light'
import { recoveryCodes } from './recovery-codes'

interface Passkey {
  id: string
  name: string
  created_at: string
  last_used_at: string | null
}

/** The passkeys of the account. Fires `secured`. */
@customElement('atrium-passkeys')
export class Passkeys extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) guarded!: Guarded
  @state() private passkeys: Passkey[] = []
  @state() private codes: string[] = []
  readonly #form = new Form(this)

  override connectedCallback(): void {
    super.connectedCallback()
    void this.#form.read(() => this.#load())
  }

  async #load(): Promise<void> {
    this.passkeys = (await this.session.call('GET', '/auth/passkeys')).passkeys as Passkey[]
  }

  async #add(): Promise<void> {
    const { options } = await this.guarded(() => this.session.call('POST', '/auth/passkeys/begin'))
    const passkey = await makePasskey(options as Record<string, unknown>)
    const added = await this.guarded(() => this.session.call('POST', '/auth/passkeys', { passkey }))
    this.codes = (added.recovery_codes as string[] | null) ?? []
    await this.#changed()
  }

  async #remove({ id }: Passkey): Promise<void> {
    await this.guarded(() => this.session.call('DELETE', `/auth/passkeys/${id}`))
    await this.#changed()
  }

  async #changed(): Promise<void> {
    await this.#load()
    this.dispatchEvent(new Event('secured'))
  }

  protected override render(): TemplateResult {
    const form = this.#form
    return html`<section class="sheet" aria-labelledby="passkeys-title">
      <h2 id="passkeys-title">Passkeys</h2>
      <p class="field-hint">Sign in with your finger, face or a security key instead of a password.</p>
      ${form.said()} ${this.codes.length ? recoveryCodes(this.codes) : nothing}
      <ul class="rows">${this.passkeys.map((passkey) => this.#row(passkey))}</ul>
      ${knowsPasskeys()
        ? html`<div class="form-end"><button ?disabled=${form.off} @click=${() => form.run(() => this.#add())}>Add a passkey</button></div>`
        : html`<p class="field-hint">This browser has none.</p>`}
    </section>`
  }

  #row(passkey: Passkey): TemplateResult {
    const used = passkey.last_used_at ? `last used ${dateOf(passkey.last_used_at)}` : 'not used yet'
    return html`<li class="row">
      <div class="row-main"><strong>${passkey.name}</strong><span class="field-hint">added ${dateOf(passkey.created_at)}, ${used}</span></div>
      <button class="small" aria-label="Remove ${passkey.name}" @click=${() => this.#form.run(() => this.#remove(passkey))}>Remove</button>
    </li>`
  }
}
