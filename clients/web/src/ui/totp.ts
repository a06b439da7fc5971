import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { Session } from '../session'
import type { Guarded, Security } from './account'
import { Form } from './form'
import { LightElement } from './light'
import { recoveryCodes } from './recovery-codes'

interface Asked {
  secret: string
  qr: string
}

/** The authenticator app, and the recovery codes that stand in for it. Fires `secured`. */
@customElement('atrium-totp')
export class Totp extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) security!: Security
  @property({ attribute: false }) guarded!: Guarded
  @state() private asked: Asked | null = null
  @state() private leaving = false
  @state() private codes: string[] = []
  readonly #form = new Form(this)

  async #begin(): Promise<void> {
    this.asked = (await this.guarded(() => this.session.call('POST', '/auth/totp'))) as unknown as Asked
    await this.updateComplete
    this.querySelector<HTMLElement>('input[name="code"]')?.focus()
  }

  async #confirm(code: string): Promise<void> {
    const { recovery_codes } = await this.guarded(() => this.session.call('POST', '/auth/totp/confirm', { code: code.replaceAll(' ', '') }))
    this.asked = null
    this.#secured(recovery_codes as string[])
  }

  async #renewCodes(): Promise<void> {
    const { recovery_codes } = await this.guarded(() => this.session.call('POST', '/auth/recovery-codes'))
    this.#secured(recovery_codes as string[])
  }

  async #disable(password: string): Promise<void> {
    await this.session.call('POST', '/auth/totp/disable', { password })
    this.leaving = false
    this.#secured([])
  }

  #secured(codes: string[]): void {
    this.codes = codes
    this.dispatchEvent(new Event('secured'))
  }

  protected override render(): TemplateResult {
    const { totp, passkeys, recovery_codes } = this.security
    return html`<section class="sheet" aria-labelledby="totp-title">
      <h2 id="totp-title">Second factor <span class="chip ${totp ? 'feature' : ''}">${totp ? 'On' : 'Off'}</span></h2>
      <p class="field-hint">An app on your phone shows a new code every 30 seconds. Sign-ins with your password ask for it.</p>
      ${this.#form.said()} ${this.codes.length ? recoveryCodes(this.codes) : nothing}
      ${this.asked ? this.#pairing(this.asked) : this.leaving ? this.#leave() : this.#buttons(totp)}
      ${totp || passkeys ? html`<p class="field-hint">${recovery_codes} recovery ${recovery_codes === 1 ? 'code is' : 'codes are'} left.
        <button class="link" @click=${() => this.#form.run(() => this.#renewCodes())}>Make new ones</button></p>` : nothing}
    </section>`
  }

  #buttons(on: boolean): TemplateResult {
    return html`<div class="form-end">
      <button ?disabled=${this.#form.off} @click=${() => this.#form.run(() => this.#begin())}>${on ? 'Move to another phone' : 'Set up an authenticator app'}</button>
      ${on ? html`<button ?disabled=${this.#form.off} @click=${() => (this.leaving = true)}>Turn off</button>` : nothing}
    </div>`
  }

  #pairing({ qr, secret }: Asked): TemplateResult {
    const form = this.#form
    return html`<div class="pairing">
      <img class="qr" src=${qr} width="180" height="180" alt="QR code for the authenticator app" />
      <form @submit=${(event: SubmitEvent) => form.submit(event, ({ code }) => this.#confirm(code!))}>
        <p>Scan this with the app, or type the key in: <code class="secret">${secret}</code></p>
        ${form.field('code', 'Code that the app shows', { autocomplete: 'one-time-code', inputmode: 'numeric', maxlength: 10, required: true })}
        <div class="form-end">
          <button class="primary" ?disabled=${form.off}>Turn on</button>
          <button type="button" @click=${() => (this.asked = null)}>Cancel</button>
        </div>
      </form>
    </div>`
  }

  #leave(): TemplateResult {
    const form = this.#form
    return html`<form @submit=${(event: SubmitEvent) => form.submit(event, ({ password }) => this.#disable(password!))}>
      ${form.field('password', 'Your password', { type: 'password', autocomplete: 'current-password', required: true })}
      <div class="form-end">
        <button class="primary" ?disabled=${form.off}>Turn the second factor off</button>
        <button type="button" @click=${() => (this.leaving = false)}>Cancel</button>
      </div>
    </form>`
  }
}
